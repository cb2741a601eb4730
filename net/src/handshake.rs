//! The application handshake on a fresh connection.
//!
//! The dialler opens the connection's only bidirectional stream and writes its hello. The accepting end answers with its
//! own once it has found nothing wrong. The dialler compares in its turn and writes one byte, [`AGREED`]. Each end thus
//! knows that the other has accepted it: with TLS 1.3 the dialler's handshake completes before the other end has judged it.
//!
//! On the stream: a length of two little-endian bytes, then the hello.

use crypto::ReplicaId;
use quinn::{Connection, RecvStream, SendStream};

use crate::close::{CloseCode, Closing, End};
use crate::hello::{HELLO_BYTES, HelloError, MAX_HELLO_BYTES, Mismatch};
use crate::{Hello, Limits, quic};

/// The dialler's last word.
const AGREED: u8 = 1;

/// A connection on which both ends have accepted each other.
pub(crate) struct Link {
    pub connection: Connection,
    /// The hello's stream. It stays open, so that the peer cannot open another in its place.
    pub _stream: (SendStream, RecvStream),
}

/// What this end says and asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub hello: Hello,
    pub epoch_tolerance: u64,
}

/// The dialling end; the peer's key is that of `expected` already.
pub(crate) async fn dial(connection: Connection, terms: Terms, expected: ReplicaId) -> Result<Link, End> {
    let (mut send, mut recv) = connection.open_bi().await.map_err(|_| End::Lost)?;
    write_hello(&mut send, &terms.hello).await?;
    let theirs = read_hello(&mut recv, &terms.hello).await?;
    judge(&terms, &theirs, expected)?;
    send.write_all(&[AGREED]).await.map_err(|_| End::Lost)?;
    Ok(Link { connection, _stream: (send, recv) })
}

/// The accepting end; the dialler's key is that of `expected`.
pub(crate) async fn accept(
    connection: Connection,
    terms: Terms,
    expected: ReplicaId,
    limits: &Limits,
) -> Result<Link, End> {
    let (mut send, mut recv) = connection.accept_bi().await.map_err(|_| End::Lost)?;
    let theirs = read_hello(&mut recv, &terms.hello).await?;
    judge(&terms, &theirs, expected)?;
    if theirs.replica > terms.hello.replica {
        let reason = format!(
            "{} has the higher id and waits to be dialled by {}; the lower id dials",
            theirs.replica, terms.hello.replica
        );
        return Err(Closing::new(CloseCode::WrongDirection, reason).into());
    }
    // From here on it is a peer, and gets a peer's streams and windows.
    let window = limits.peer_window_bytes();
    connection.set_max_concurrent_uni_streams(quic::peer_streams());
    connection.set_receive_window(quic::varint(window));
    connection.set_send_window(window as u64);
    write_hello(&mut send, &terms.hello).await?;
    let mut last = [0];
    recv.read_exact(&mut last).await.map_err(|_| End::Lost)?;
    if last != [AGREED] {
        return Err(Closing::new(CloseCode::BadHello, "the hello did not end with agreement").into());
    }
    Ok(Link { connection, _stream: (send, recv) })
}

async fn write_hello(send: &mut SendStream, hello: &Hello) -> Result<(), End> {
    let mut message = [0; 2 + HELLO_BYTES];
    message[..2].copy_from_slice(&(HELLO_BYTES as u16).to_le_bytes());
    message[2..].copy_from_slice(&hello.encode());
    send.write_all(&message).await.map_err(|_| End::Lost)
}

async fn read_hello(recv: &mut RecvStream, ours: &Hello) -> Result<Hello, End> {
    let mut length = [0; 2];
    recv.read_exact(&mut length).await.map_err(|_| End::Lost)?;
    let length = usize::from(u16::from_le_bytes(length));
    let mut bytes = [0; MAX_HELLO_BYTES];
    let Some(bytes) = bytes.get_mut(..length) else {
        let reason = format!("a hello of {length} bytes, the limit is {MAX_HELLO_BYTES}");
        return Err(Closing::new(CloseCode::BadHello, reason).into());
    };
    recv.read_exact(bytes).await.map_err(|_| End::Lost)?;
    Hello::decode(bytes, ours).map_err(|error| match error {
        HelloError::Version(mismatch) => differs(mismatch).into(),
        HelloError::Malformed(_) => Closing::new(CloseCode::BadHello, error).into(),
    })
}

/// Whether the hello suits ours and comes from the replica that owns the connection's key (threat 67).
fn judge(terms: &Terms, theirs: &Hello, expected: ReplicaId) -> Result<(), Closing> {
    terms.hello.compare(theirs, terms.epoch_tolerance).map_err(differs)?;
    if theirs.replica != expected {
        let reason = format!("the hello says {}, but the key is that of {expected}", theirs.replica);
        return Err(Closing::new(CloseCode::WrongReplica, reason));
    }
    Ok(())
}

/// Each end reads the difference from its own side.
fn differs(mismatch: Mismatch) -> Closing {
    Closing { code: CloseCode::Mismatch, ours: mismatch.to_string(), theirs: mismatch.mirrored().to_string() }
}
