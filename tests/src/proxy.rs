//! A bad network between replicas: UDP relays that delay, lose, duplicate, reorder, throttle and cut.
//!
//! The kernel's own means (netem) need a module that most machines lack. So each replica is told, by `[peers]` in its
//! configuration, to reach each other through a [`Mesh`]: one relay per pair, and in it one [`Channel`] per direction.
//!
//! ```text
//! replica a ──▶ front ═ channel a→b ═▶ back ──▶ replica b        a < b: of two replicas the one with the lower number dials
//!           ◀── front ◀═ channel b→a ═ back ◀──
//! ```
//!
//! # Bounds, and what happens when they are reached
//! | what | bound | when full |
//! |---|---|---|
//! | bytes on their way in one direction | [`CHANNEL_BYTES`] | the newest datagram is lost |
//! | what waits for a throttled direction | [`BACKLOG`] of its rate | the newest datagram is lost |

use crate::dice::Dice;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// Bytes on their way in one direction, at most.
pub const CHANNEL_BYTES: usize = 8 << 20;

/// A throttled direction holds what it can send in this time.
pub const BACKLOG: Duration = Duration::from_millis(500);

/// The largest datagram.
const DATAGRAM_BYTES: usize = 1 << 16;

/// What happens to datagrams in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Conditions {
    /// Nothing passes; what was under way is lost.
    pub cut: bool,
    /// Every datagram takes this long.
    pub delay: Duration,
    /// And this much more on average, exponentially distributed, at most tenfold. Order is kept.
    pub jitter: Duration,
    /// Which part is lost.
    pub loss: f64,
    /// Which part arrives twice.
    pub duplicates: f64,
    /// Which part is overtaken by what comes within the next 20 ms.
    pub reordered: f64,
    /// Throttled to this many bytes a second.
    pub bytes_per_second: Option<u64>,
}

/// How long a reordered datagram is held back.
const HELD_BACK: Duration = Duration::from_millis(20);

impl Conditions {
    /// Nothing passes.
    pub const CUT: Conditions = Conditions {
        cut: true,
        delay: Duration::ZERO,
        jitter: Duration::ZERO,
        loss: 0.0,
        duplicates: 0.0,
        reordered: 0.0,
        bytes_per_second: None,
    };

    /// Both troubles at once.
    pub fn and(self, other: Conditions) -> Conditions {
        let either = |a: f64, b: f64| 1.0 - (1.0 - a) * (1.0 - b);
        Conditions {
            cut: self.cut || other.cut,
            delay: self.delay + other.delay,
            jitter: self.jitter + other.jitter,
            loss: either(self.loss, other.loss),
            duplicates: either(self.duplicates, other.duplicates),
            reordered: either(self.reordered, other.reordered),
            bytes_per_second: match (self.bytes_per_second, other.bytes_per_second) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            },
        }
    }
}

impl fmt::Display for Conditions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Conditions::default() {
            return f.write_str("calm");
        }
        if self.cut {
            return f.write_str("cut");
        }
        let (delay, jitter) = (self.delay.as_millis(), self.jitter.as_millis());
        write!(f, "{delay}+{jitter} ms, lost {:.1} %", 100.0 * self.loss)?;
        write!(f, ", twice {:.1} %, reordered {:.1} %", 100.0 * self.duplicates, 100.0 * self.reordered)?;
        self.bytes_per_second.map_or(Ok(()), |rate| write!(f, ", {} kB/s", rate / 1000))
    }
}

/// What a channel has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Datagrams that came in.
    pub taken: u64,
    /// Datagrams that went out; duplicates count twice.
    pub passed: u64,
    /// Datagrams lost, for whatever reason.
    pub lost: u64,
    /// Datagrams that were held back so that later ones overtake them.
    pub reordered: u64,
    /// Datagrams that were sent twice.
    pub doubled: u64,
    /// Datagrams that took longer than a calm link has them take.
    pub delayed: u64,
}

impl Counts {
    /// Both together.
    pub fn and(self, other: Counts) -> Counts {
        Counts {
            taken: self.taken + other.taken,
            passed: self.passed + other.passed,
            lost: self.lost + other.lost,
            reordered: self.reordered + other.reordered,
            doubled: self.doubled + other.doubled,
            delayed: self.delayed + other.delayed,
        }
    }
}

/// One direction of a link. Pure: it is told the time, and says what is due.
#[derive(Debug)]
pub struct Channel {
    conditions: Conditions,
    dice: Dice,
    /// By the time when they are due, and the order in which they came.
    under_way: BTreeMap<(Instant, u64), Vec<u8>>,
    /// Invariant: the sum of the lengths in `under_way`, at most [`CHANNEL_BYTES`].
    bytes: usize,
    /// When the throttle will have let everything through that it has.
    free_at: Option<Instant>,
    /// Nothing that keeps the order is due before this.
    latest: Option<Instant>,
    next: u64,
    counts: Counts,
}

impl Channel {
    /// A calm one.
    pub fn new(dice: Dice) -> Channel {
        Channel {
            conditions: Conditions::default(),
            dice,
            under_way: BTreeMap::new(),
            bytes: 0,
            free_at: None,
            latest: None,
            next: 0,
            counts: Counts::default(),
        }
    }

    /// Other conditions from now on. What is under way arrives when it was to arrive, unless the link is cut.
    pub fn set(&mut self, conditions: Conditions) {
        self.conditions = conditions;
        self.free_at = None;
        if conditions.cut {
            self.counts.lost += self.under_way.len() as u64;
            self.under_way.clear();
            self.bytes = 0;
        }
    }

    /// What it has done.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Takes a datagram.
    pub fn accept(&mut self, now: Instant, datagram: &[u8]) {
        self.counts.taken += 1;
        let Conditions { cut, loss, duplicates, .. } = self.conditions;
        if cut || self.dice.chance(loss) {
            self.counts.lost += 1;
            return;
        }
        self.send(now, datagram);
        if self.dice.chance(duplicates) {
            self.counts.doubled += 1;
            self.send(now, datagram);
        }
    }

    fn send(&mut self, now: Instant, datagram: &[u8]) {
        let Some(through) = self.throttled(now, datagram.len()) else {
            self.counts.lost += 1;
            return;
        };
        let Conditions { delay, jitter, reordered, .. } = self.conditions;
        // The inverse of the exponential distribution.
        let times = (-(1.0 - self.dice.part()).ln()).min(10.0);
        let mut due = through + delay + jitter.mul_f64(times);
        if self.dice.chance(reordered) {
            due += HELD_BACK;
            self.counts.reordered += 1;
        } else {
            due = self.latest.map_or(due, |latest| due.max(latest));
            self.latest = Some(due);
        }
        if self.bytes + datagram.len() > CHANNEL_BYTES {
            self.counts.lost += 1;
            return;
        }
        self.counts.delayed += u64::from(due > now);
        self.bytes += datagram.len();
        self.under_way.insert((due, self.next), datagram.to_vec());
        self.next += 1;
    }

    /// When the throttle lets so many more bytes through; none if too much waits already.
    fn throttled(&mut self, now: Instant, bytes: usize) -> Option<Instant> {
        let Some(rate) = self.conditions.bytes_per_second else { return Some(now) };
        let begin = self.free_at.map_or(now, |free| free.max(now));
        if begin - now > BACKLOG {
            return None;
        }
        let free_at = begin + Duration::from_secs_f64(bytes as f64 / rate as f64);
        self.free_at = Some(free_at);
        Some(free_at)
    }

    /// Gives the next datagram that has arrived.
    pub fn due(&mut self, now: Instant) -> Option<Vec<u8>> {
        let first = self.under_way.first_entry()?;
        if first.key().0 > now {
            return None;
        }
        let datagram = first.remove();
        self.bytes -= datagram.len();
        self.counts.passed += 1;
        Some(datagram)
    }

    /// When the next datagram arrives.
    pub fn next_due(&self) -> Option<Instant> {
        self.under_way.first_key_value().map(|((due, _), _)| *due)
    }
}

/// A channel that a task drives and that others change.
#[derive(Debug)]
struct Shared {
    channel: Mutex<Channel>,
    changed: Notify,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Channel> {
        // Nothing in a channel is half done when it panics.
        self.channel.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The sockets of one direction.
struct Way {
    input: Arc<UdpSocket>,
    /// Only what comes from here is carried.
    from: SocketAddr,
    output: Arc<UdpSocket>,
    to: SocketAddr,
}

/// Relays between all replicas. They end with this value.
#[derive(Debug)]
pub struct Mesh {
    channels: BTreeMap<(usize, usize), Arc<Shared>>,
    fronts: BTreeMap<(usize, usize), SocketAddr>,
    tasks: Vec<JoinHandle<()>>,
}

impl Mesh {
    /// Relays between replicas that listen at `addresses` of the loopback, on the present runtime.
    ///
    /// # Errors
    /// If there is no free port.
    pub async fn start(addresses: &[SocketAddr], seed: u64) -> io::Result<Mesh> {
        let mut mesh = Mesh { channels: BTreeMap::new(), fronts: BTreeMap::new(), tasks: Vec::new() };
        for (b, at_b) in addresses.iter().enumerate() {
            for (a, at_a) in addresses[..b].iter().enumerate() {
                let front = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?);
                let back = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?);
                mesh.fronts.insert((a, b), front.local_addr()?);
                let there =
                    Way { input: Arc::clone(&front), from: *at_a, output: Arc::clone(&back), to: *at_b };
                let back = Way { input: back, from: *at_b, output: front, to: *at_a };
                for (ends, way) in [((a, b), there), ((b, a), back)] {
                    let stream = 1 + ends.0 as u64 * addresses.len() as u64 + ends.1 as u64;
                    let channel = Mutex::new(Channel::new(Dice::new(seed, stream)));
                    let shared = Arc::new(Shared { channel, changed: Notify::new() });
                    mesh.tasks.push(tokio::spawn(carry(way, Arc::clone(&shared))));
                    mesh.channels.insert(ends, shared);
                }
            }
        }
        Ok(mesh)
    }

    /// Where one replica reaches others, by their numbers: those that it dials.
    pub fn ways_of(&self, from: usize) -> BTreeMap<usize, SocketAddr> {
        self.fronts.iter().filter(|((a, _), _)| *a == from).map(|((_, b), at)| (*b, *at)).collect()
    }

    /// Other conditions from now on, for every direction, as `conditions` says for (from, to).
    pub fn set(&self, conditions: impl Fn(usize, usize) -> Conditions) {
        for ((from, to), shared) in &self.channels {
            let conditions = conditions(*from, *to);
            let mut channel = shared.lock();
            if channel.conditions != conditions {
                channel.set(conditions);
                shared.changed.notify_one();
            }
        }
    }

    /// What all have done.
    pub fn counts(&self) -> Counts {
        self.channels.values().map(|shared| shared.lock().counts()).fold(Counts::default(), Counts::and)
    }
}

impl Drop for Mesh {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn carry(way: Way, shared: Arc<Shared>) {
    let mut buffer = vec![0; DATAGRAM_BYTES];
    loop {
        let next = shared.lock().next_due();
        let arrival = async {
            match next {
                Some(next) => tokio::time::sleep_until(next.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            received = way.input.recv_from(&mut buffer) => match received {
                Ok((length, from)) if from == way.from => shared.lock().accept(Instant::now(), &buffer[..length]),
                // A stranger; or an error about an earlier datagram, whose receiver was not there.
                Ok(_) | Err(_) => {}
            },
            () = arrival => {}
            () = shared.changed.notified() => {}
        }
        loop {
            let Some(datagram) = shared.lock().due(Instant::now()) else { break };
            // Best effort, as a network is.
            let _ = way.output.send_to(&datagram, way.to).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Sends `count` numbered datagrams, one a millisecond, and gives what arrived: (number, when in ms).
    fn through(conditions: Conditions, count: u8) -> Vec<(u8, u128)> {
        let (mut channel, begin) = (Channel::new(Dice::new(7, 0)), Instant::now());
        channel.set(conditions);
        let mut arrived = Vec::new();
        for step in 0..20_000 {
            let now = begin + step * MS;
            if let Ok(number) = u8::try_from(step)
                && number < count
            {
                channel.accept(now, &[number; 100]);
            }
            while let Some(datagram) = channel.due(now) {
                arrived.push((datagram[0], (now - begin).as_millis()));
            }
        }
        assert_eq!(channel.bytes, 0);
        assert_eq!(channel.next_due(), None);
        arrived
    }

    #[test]
    fn a_calm_channel_passes_everything_at_once_and_in_order() {
        let expected: Vec<_> = (0..200).map(|n| (n, u128::from(n))).collect();
        assert_eq!(through(Conditions::default(), 200), expected);
    }

    #[test]
    fn delay_is_added_and_jitter_keeps_the_order() {
        let delayed = through(Conditions { delay: 30 * MS, ..Default::default() }, 200);
        assert_eq!(delayed, (0..200).map(|n| (n, u128::from(n) + 30)).collect::<Vec<_>>());
        let jittered = through(Conditions { delay: 30 * MS, jitter: 10 * MS, ..Default::default() }, 200);
        assert!(jittered.is_sorted_by_key(|(n, _)| *n) && jittered.len() == 200);
        assert!(jittered.iter().all(|(n, at)| *at >= u128::from(*n) + 30 && *at <= u128::from(*n) + 330));
        assert_ne!(jittered, delayed);
    }

    #[test]
    fn about_as_much_is_lost_doubled_and_reordered_as_was_asked_for() {
        let lossy = through(Conditions { loss: 0.25, ..Default::default() }, 200);
        assert!((120..180).contains(&lossy.len()), "{}", lossy.len());
        let double = through(Conditions { duplicates: 0.25, ..Default::default() }, 200);
        assert!((220..280).contains(&double.len()), "{}", double.len());
        let reordered = through(Conditions { reordered: 0.25, ..Default::default() }, 200);
        assert_eq!(reordered.len(), 200);
        assert!(!reordered.is_sorted_by_key(|(n, _)| *n));
        assert!(reordered.iter().all(|(n, at)| *at <= u128::from(*n) + 20));
    }

    #[test]
    fn a_throttle_spreads_what_it_can_hold_and_loses_the_rest() {
        // 100 bytes a millisecond come, 10 pass: half a second's worth waits, besides what passes meanwhile.
        let slow = through(Conditions { bytes_per_second: Some(10_000), ..Default::default() }, 200);
        assert!((60..80).contains(&slow.len()), "{}", slow.len());
        assert!(slow.windows(2).all(|two| (9..=11).contains(&(two[1].1 - two[0].1))), "{slow:?}");
    }

    #[test]
    fn a_cut_loses_what_is_under_way_and_ends_when_it_is_mended() {
        let (mut channel, begin) = (Channel::new(Dice::new(7, 0)), Instant::now());
        channel.set(Conditions { delay: 10 * MS, ..Default::default() });
        channel.accept(begin, b"before");
        channel.set(Conditions::CUT);
        channel.accept(begin, b"during");
        assert_eq!(channel.due(begin + 100 * MS), None);
        channel.set(Conditions::default());
        channel.accept(begin + 100 * MS, b"after");
        assert_eq!(channel.due(begin + 200 * MS), Some(b"after".to_vec()));
        assert_eq!(
            channel.counts(),
            Counts { taken: 3, passed: 1, lost: 2, delayed: 1, ..Counts::default() }
        );
    }

    #[test]
    fn a_channel_holds_no_more_than_its_bound() {
        let (mut channel, begin) = (Channel::new(Dice::new(7, 0)), Instant::now());
        channel.set(Conditions { delay: 1000 * MS, ..Default::default() });
        let datagram = [0; 1 << 15];
        (0..1000).for_each(|_| channel.accept(begin, &datagram));
        assert_eq!(channel.bytes, CHANNEL_BYTES);
        assert_eq!(channel.counts().lost, 1000 - (CHANNEL_BYTES / datagram.len()) as u64);
    }

    #[test]
    fn troubles_add_up() {
        let some = Conditions { loss: 0.5, bytes_per_second: Some(10), delay: MS, ..Default::default() };
        let both = some.and(Conditions { loss: 0.5, delay: 2 * MS, ..Default::default() });
        assert_eq!((both.loss, both.delay, both.bytes_per_second), (0.75, 3 * MS, Some(10)));
        assert!(both.and(Conditions::CUT).cut);
        assert_eq!(Conditions::default().to_string(), "calm");
    }

    #[tokio::test]
    async fn a_mesh_carries_both_ways_and_can_be_cut_one_way() {
        let replicas = [
            UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap(),
            UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap(),
        ];
        let addresses: Vec<SocketAddr> = replicas.iter().map(|socket| socket.local_addr().unwrap()).collect();
        let mesh = Mesh::start(&addresses, 1).await.unwrap();
        assert_eq!(mesh.ways_of(1), BTreeMap::new());
        let front = mesh.ways_of(0)[&1];
        let mut buffer = [0; 100];

        replicas[0].send_to(b"there", front).await.unwrap();
        let (length, back) = replicas[1].recv_from(&mut buffer).await.unwrap();
        assert_eq!(&buffer[..length], b"there");
        replicas[1].send_to(b"and back", back).await.unwrap();
        assert_eq!(replicas[0].recv_from(&mut buffer).await.unwrap(), (8, front));

        let one_way = |from, _| {
            if from == 0 { Conditions::CUT } else { Conditions { delay: MS, ..Default::default() } }
        };
        mesh.set(one_way);
        replicas[0].send_to(b"lost", front).await.unwrap();
        replicas[1].send_to(b"late", back).await.unwrap();
        assert_eq!(replicas[0].recv_from(&mut buffer).await.unwrap(), (4, front));
        let taken = async {
            while mesh.counts().taken < 4 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(crate::DEADLINE, taken).await.expect("the relay takes what is sent");
        mesh.set(|_, _| Conditions::default());
        // Had the lost one only been late, it would come first.
        replicas[0].send_to(b"again", front).await.unwrap();
        let (length, _) = replicas[1].recv_from(&mut buffer).await.unwrap();
        assert_eq!(&buffer[..length], b"again");
    }
}
