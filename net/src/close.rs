//! Why connections end: the application close codes, and the texts made from what QUIC reports.

use std::fmt;
use std::time::Duration;

use quinn::{Connection, ConnectionError, VarInt};

/// The application close codes of QUIC connections. Numbers are part of the wire format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CloseCode {
    /// This end stops.
    Shutdown = 0,
    /// A newer connection of the same peer took over.
    Replaced = 1,
    /// The peer left the roster.
    Removed = 2,
    /// The key is in no roster entry.
    Stranger = 3,
    /// The key is this replica's own (threat 69).
    Oneself = 4,
    /// The hello's id and the key's id differ (threat 67).
    WrongReplica = 5,
    /// The replica with the lower id dials; this one has the higher.
    WrongDirection = 6,
    /// A field of the hello differs.
    Mismatch = 7,
    /// The hello cannot be read.
    BadHello = 8,
    /// A frame announced more bytes than its class may have (threat 71).
    FrameTooLong = 9,
    /// A stream was opened twice, ended early, or begins with an unknown byte.
    BadStream = 10,
    /// No room for another client.
    TooManyClients = 11,
    /// The hello did not come in time.
    Timeout = 12,
    /// This end failed.
    Internal = 13,
}

impl CloseCode {
    /// Whether the code says that the peer would not have us at all, rather than that a connection ended.
    fn is_refusal(code: u64) -> bool {
        (CloseCode::Stranger as u64..=CloseCode::BadHello as u64).contains(&code)
            || code == CloseCode::TooManyClients as u64
    }
}

/// A reason to close a connection: a code for programs and two texts for people, one per end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Closing {
    pub code: CloseCode,
    /// For our log and status.
    pub ours: String,
    /// For the peer: travels in the close frame.
    pub theirs: String,
}

impl Closing {
    /// A reason that reads the same on both ends.
    pub fn new(code: CloseCode, reason: impl fmt::Display) -> Closing {
        let reason = reason.to_string();
        Closing { code, ours: reason.clone(), theirs: reason }
    }

    /// Closes `connection` for this reason.
    pub fn apply(&self, connection: &Connection) {
        connection.close(VarInt::from_u32(self.code as u32), self.theirs.as_bytes());
    }
}

/// Why a connection is being given up by this end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// This end found a reason.
    Close(Closing),
    /// The connection is gone already; the connection knows why.
    Lost,
}

/// How long the end of a stream waits for the close that may explain it.
const GRACE: Duration = Duration::from_millis(200);

impl End {
    /// Where a stream ended, the connection perhaps ends as well, and its reason says more: a peer that closes, or fails,
    /// gives up its streams first.
    pub async fn settle(self, connection: &Connection) -> End {
        let of_stream = match &self {
            End::Close(closing) => closing.code == CloseCode::BadStream,
            End::Lost => true,
        };
        if of_stream && tokio::time::timeout(GRACE, connection.closed()).await.is_ok() {
            End::Lost
        } else {
            self
        }
    }

    /// Closes the connection if it is still open, and says why it ended.
    pub fn conclude(self, connection: &Connection) -> String {
        match self {
            End::Close(closing) => {
                closing.apply(connection);
                format!("closed by us: {}", closing.ours)
            }
            End::Lost => match connection.close_reason() {
                Some(reason) => describe(&reason),
                None => {
                    Closing::new(CloseCode::BadStream, "a stream ended").apply(connection);
                    "the peer ended a stream".into()
                }
            },
        }
    }
}

impl From<Closing> for End {
    fn from(closing: Closing) -> End {
        End::Close(closing)
    }
}

/// What a person should read about the end of a connection.
pub(crate) fn describe(error: &ConnectionError) -> String {
    match error {
        ConnectionError::ApplicationClosed(close) => {
            let code = u64::from(close.error_code);
            let verb = if CloseCode::is_refusal(code) { "refused" } else { "closed" };
            format!("{verb} by peer: {}", printable(&close.reason, code))
        }
        ConnectionError::ConnectionClosed(close) => {
            let code = u64::from(close.error_code);
            format!("aborted by peer's QUIC layer: {} ({})", printable(&close.reason, code), close.error_code)
        }
        ConnectionError::TimedOut => {
            "no answer within the idle timeout; is the peer running, and may UDP pass in both directions?"
                .into()
        }
        ConnectionError::Reset => "reset by peer: it was restarted".into(),
        ConnectionError::LocallyClosed => "closed by us".into(),
        other => other.to_string(),
    }
}

/// A peer's reason text, made safe to print: printable ASCII, at most 300 characters.
fn printable(reason: &[u8], code: u64) -> String {
    if reason.is_empty() {
        return format!("code {code}");
    }
    reason
        .iter()
        .take(300)
        .map(|&byte| if (b' '..=b'~').contains(&byte) { char::from(byte) } else { '?' })
        .collect()
}

#[cfg(test)]
mod tests {
    use quinn::ApplicationClose;

    use super::*;

    #[test]
    fn a_hostile_reason_is_printed_harmlessly() {
        let reason: Vec<u8> = b"\x1b[2Jline\nline".iter().copied().chain([b'x'; 1000]).collect();
        let close = ApplicationClose { error_code: VarInt::from_u32(7), reason: reason.into() };
        let text = describe(&ConnectionError::ApplicationClosed(close));
        assert!(text.starts_with("refused by peer: ?[2Jline?line"), "{text}");
        assert!(text.len() < 400);
        assert!(text.chars().all(|c| !c.is_control()));
    }

    #[test]
    fn refusals_and_ends_read_differently() {
        let closed = |code: CloseCode| {
            let close = ApplicationClose { error_code: VarInt::from_u32(code as u32), reason: "why".into() };
            describe(&ConnectionError::ApplicationClosed(close))
        };
        assert_eq!(closed(CloseCode::Shutdown), "closed by peer: why");
        assert_eq!(closed(CloseCode::Stranger), "refused by peer: why");
        assert_eq!(closed(CloseCode::TooManyClients), "refused by peer: why");
    }
}
