//! Load generator and figures of Quorate.
