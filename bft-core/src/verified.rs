//! Values that passed the edge.

use std::ops::Deref;

/// A value whose signatures, certificates and bounds were checked. Only this crate can make one, and does so only in
/// [`crate::edge`], for what this replica made itself, and for what a certificate already covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified<T>(T);

impl<T> Verified<T> {
    pub(crate) fn new(value: T) -> Verified<T> {
        Verified(value)
    }

    /// For engine tests, which play the edge's part.
    #[cfg(any(test, feature = "testing"))]
    pub fn for_tests(value: T) -> Verified<T> {
        Verified(value)
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}
