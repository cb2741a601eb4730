//! Every bound of the transport, with its default.

use std::time::Duration;

use crate::{Class, NetError};

/// What a frame costs of a budget besides its bytes, so that a flood of empty frames is bounded too.
pub const FRAME_OVERHEAD: usize = 64;

/// The largest `frame_bytes` that may be configured: 256 MiB.
pub const MAX_FRAME_BYTES: usize = 256 << 20;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// The bounds of one class of frames, per peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassLimits {
    /// The longest frame, in bytes. A peer that announces a longer one is disconnected before anything is allocated; one
    /// handed to [`crate::Network::send`] is refused.
    pub frame_bytes: usize,
    /// How many frames wait to be sent. When full: see [`Class`].
    pub queue_frames: usize,
    /// How many bytes wait to be sent. At least `frame_bytes`.
    pub queue_bytes: usize,
    /// How many received bytes the [`crate::Handler`] may hold, each frame counted with [`FRAME_OVERHEAD`]. When spent,
    /// the class's stream is not read, and QUIC flow control stops the peer. At least one longest frame.
    pub inbound_bytes: usize,
}

/// The bounds of connections from clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientLimits {
    /// How many at once, all addresses together. One more is refused, with that reason.
    pub connections: usize,
    /// How many at once from one IPv4 address or one IPv6 /64 network. One more is refused, with that reason.
    pub connections_per_ip: usize,
    /// The longest frame in either direction, in bytes.
    pub frame_bytes: usize,
    /// How many bytes of one connection the handler may hold; beyond, the connection is not read.
    pub inbound_bytes: usize,
    /// How many answers wait for one connection. The newest is dropped when full; a client that reads asks again.
    pub queue_frames: usize,
    /// How many bytes of answers wait for one connection. At least `frame_bytes`.
    pub queue_bytes: usize,
    /// The QUIC receive and send window of one connection, in bytes; also what an unauthenticated connection may fill.
    pub window_bytes: usize,
}

/// The bounds of connections that are being made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandshakeLimits {
    /// From this many open handshakes on, an address must prove itself by returning a retry token.
    pub retry_above: usize,
    /// How many handshakes may be open at once. One more is refused; roster addresses have as many again for themselves.
    pub open: usize,
    /// How many of them from one (validated) IPv4 address or IPv6 /64 network.
    pub open_per_ip: usize,
    /// How many handshakes may begin per second on average, and in one burst. Beyond, strangers get a retry token and are
    /// then refused. Roster addresses are exempt once validated.
    pub per_second: usize,
    /// How long TLS and hello may take together.
    pub timeout: Duration,
}

/// Every bound of the transport. The sum per peer bounds its memory, whatever the peer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Per class, in the order of [`Class::ALL`].
    pub classes: [ClassLimits; Class::COUNT],
    /// The QUIC receive window of one stream between peers, in bytes: unread bytes that a peer may have in flight per class.
    /// Throughput per class is at most this per round trip. The connection's windows are the sum over the classes.
    pub stream_window_bytes: usize,
    /// Connections from clients.
    pub clients: ClientLimits,
    /// Connections being made.
    pub handshakes: HandshakeLimits,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            classes: [
                ClassLimits {
                    frame_bytes: MIB,
                    queue_frames: 8192,
                    queue_bytes: 4 * MIB,
                    inbound_bytes: 2 * MIB,
                },
                ClassLimits {
                    frame_bytes: 8 * MIB,
                    queue_frames: 256,
                    queue_bytes: 32 * MIB,
                    inbound_bytes: 17 * MIB,
                },
                ClassLimits {
                    frame_bytes: MIB,
                    queue_frames: 8192,
                    queue_bytes: 8 * MIB,
                    inbound_bytes: 4 * MIB,
                },
                ClassLimits {
                    frame_bytes: 8 * MIB,
                    queue_frames: 256,
                    queue_bytes: 32 * MIB,
                    inbound_bytes: 17 * MIB,
                },
            ],
            stream_window_bytes: 4 * MIB,
            clients: ClientLimits {
                connections: 1024,
                connections_per_ip: 128,
                frame_bytes: 512 * KIB,
                inbound_bytes: MIB,
                queue_frames: 4096,
                queue_bytes: 2 * MIB,
                window_bytes: 256 * KIB,
            },
            handshakes: HandshakeLimits {
                retry_above: 32,
                open: 256,
                open_per_ip: 64,
                per_second: 500,
                timeout: Duration::from_secs(5),
            },
        }
    }
}

impl Limits {
    /// The bounds of `class`.
    pub fn class(&self, class: Class) -> &ClassLimits {
        &self.classes[class.index()]
    }

    /// The bounds of `class`, to change.
    pub fn class_mut(&mut self, class: Class) -> &mut ClassLimits {
        &mut self.classes[class.index()]
    }

    /// The connection's receive and send window between peers: every class can fill its stream's window without
    /// blocking another, and the hello's few bytes fit besides.
    pub(crate) fn peer_window_bytes(&self) -> usize {
        self.stream_window_bytes.saturating_mul(Class::COUNT).saturating_add(4 * KIB)
    }

    /// Refuses bounds under which a frame could never be sent or received.
    pub(crate) fn validate(&self) -> Result<(), NetError> {
        let sized = Class::ALL.into_iter().map(|class| {
            let of = self.class(class);
            (class.name(), of.frame_bytes, of.queue_frames, of.queue_bytes, of.inbound_bytes)
        });
        let of = &self.clients;
        let clients = [("client", of.frame_bytes, of.queue_frames, of.queue_bytes, of.inbound_bytes)];
        for (name, frame, queue_frames, queue, inbound) in sized.chain(clients) {
            if frame == 0 || frame > MAX_FRAME_BYTES {
                return Err(NetError::config(format!(
                    "{name} frame_bytes is {frame}; set it between 1 and {MAX_FRAME_BYTES}"
                )));
            }
            if queue_frames == 0 || queue < frame {
                return Err(NetError::config(format!(
                    "the {name} queue holds {queue_frames} frames and {queue} bytes, less than one frame of {frame} bytes; \
                     raise queue_frames and queue_bytes, or lower frame_bytes"
                )));
            }
            if inbound < frame + FRAME_OVERHEAD || inbound > u32::MAX as usize {
                return Err(NetError::config(format!(
                    "{name} inbound_bytes is {inbound}; set it between frame_bytes + {FRAME_OVERHEAD} = {} and {}",
                    frame + FRAME_OVERHEAD,
                    u32::MAX
                )));
            }
        }
        for (name, window) in
            [("stream_window_bytes", self.stream_window_bytes), ("window_bytes", of.window_bytes)]
        {
            if !(4 * KIB..=1 << 30).contains(&window) {
                return Err(NetError::config(format!("{name} is {window}; set it between 4 KiB and 1 GiB")));
            }
        }
        let hands = &self.handshakes;
        if hands.open == 0 || hands.open_per_ip == 0 || hands.per_second == 0 || hands.timeout.is_zero() {
            return Err(NetError::config(
                "a handshake limit is 0, so that nobody could connect; raise it".into(),
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_consistent() {
        Limits::default().validate().unwrap();
    }

    #[test]
    fn a_frame_that_never_fits_is_refused_by_name() {
        let mut limits = Limits::default();
        limits.class_mut(Class::Pool).inbound_bytes = 10;
        let error = limits.validate().unwrap_err().to_string();
        assert!(error.contains("pool inbound_bytes is 10"), "{error}");

        let mut limits = Limits::default();
        limits.clients.queue_bytes = 1;
        let error = limits.validate().unwrap_err().to_string();
        assert!(error.contains("the client queue"), "{error}");
    }
}
