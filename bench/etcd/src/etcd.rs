//! Three etcd members on this machine, and as much of its API as a put takes.
//!
//! `etcdserverpb.KV/Put` over gRPC: an HTTP/2 POST whose body is one message, a byte 0 and four bytes of its length before it. The message
//! has the key as field 1 and the value as field 2, both bytes (protocol buffers, `rpc.proto` of etcd 3.4).

use anyhow::{Context, bail, ensure};
use bytes::{BufMut, Bytes, BytesMut};
use h2::client::SendRequest;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

/// How long the members may take to serve.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long to wait when they have too much to do.
const RETRY: Duration = Duration::from_millis(10);

/// Members that end with this value.
pub struct Etcd {
    members: Vec<Child>,
    clients: Vec<String>,
}

impl Etcd {
    /// Starts `count` members with directories under `dir`, as etcd is by default: every put is on disk before it is answered.
    ///
    /// # Errors
    /// If etcd is not installed, or does not start.
    pub fn start(dir: &Path, count: usize) -> anyhow::Result<Etcd> {
        let ports = free_ports(2 * count)?;
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let (peers, clients) = ports.split_at(count);
        let cluster: Vec<String> =
            peers.iter().enumerate().map(|(i, port)| format!("m{i}={}", url(*port))).collect();
        let mut members = Vec::new();
        for i in 0..count {
            let output = std::fs::File::create(dir.join(format!("etcd-{i}.log")))?;
            let member = Command::new("etcd")
                .args(["--name", &format!("m{i}"), "--data-dir"])
                .arg(dir.join(format!("etcd-{i}")))
                .args(["--listen-peer-urls", &url(peers[i]), "--initial-advertise-peer-urls", &url(peers[i])])
                .args(["--listen-client-urls", &url(clients[i]), "--advertise-client-urls", &url(clients[i])])
                .args(["--initial-cluster", &cluster.join(","), "--initial-cluster-state", "new"])
                .args(["--logger", "zap", "--log-level", "error"])
                .stdin(Stdio::null())
                .stdout(output.try_clone()?)
                .stderr(output)
                .spawn()
                .context("cannot start etcd; install the Debian package etcd-server")?;
            members.push(member);
        }
        Ok(Etcd { members, clients: clients.iter().map(|port| format!("127.0.0.1:{port}")).collect() })
    }

    /// Processor time of all members, user and system.
    ///
    /// # Errors
    /// If a member has ended.
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        self.members.iter().map(|member| cpu_of(member.id())).sum()
    }

    /// A connection to each member, once it serves. The first is to the leader.
    ///
    /// # Errors
    /// If no member serves in time.
    pub async fn connect(&self, connections: usize) -> anyhow::Result<Vec<EtcdClient>> {
        let begun = Instant::now();
        loop {
            match self.try_connect(connections).await {
                Ok(clients) => return Ok(clients),
                Err(error) if begun.elapsed() > PATIENCE => return Err(error.context("etcd does not serve")),
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }

    async fn try_connect(&self, connections: usize) -> anyhow::Result<Vec<EtcdClient>> {
        let mut clients = Vec::new();
        for i in 0..connections {
            let client = EtcdClient::connect(&self.clients[i % self.clients.len()]).await?;
            client.put(b"warm", b"up").await?;
            clients.push(client);
        }
        Ok(clients)
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        for member in &mut self.members {
            let _ = member.kill();
            let _ = member.wait();
        }
    }
}

/// One connection, for any number of tasks.
#[derive(Clone)]
pub struct EtcdClient(SendRequest<Bytes>);

impl EtcdClient {
    async fn connect(address: &str) -> anyhow::Result<EtcdClient> {
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        let (send, connection) = h2::client::Builder::new()
            .initial_window_size(1 << 20)
            .initial_connection_window_size(1 << 22)
            .handshake::<_, Bytes>(tcp)
            .await?;
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(EtcdClient(send))
    }

    /// Puts a value, and waits until it is committed. Where etcd has too much to do and says so, it is asked again.
    ///
    /// # Errors
    /// If etcd refuses it for another reason.
    pub async fn put(&self, key: &[u8], value: &[u8]) -> anyhow::Result<()> {
        loop {
            match self.try_put(key, value).await {
                Err(error) if error.to_string().contains("too many requests") => {
                    tokio::time::sleep(RETRY).await;
                }
                outcome => return outcome,
            }
        }
    }

    async fn try_put(&self, key: &[u8], value: &[u8]) -> anyhow::Result<()> {
        let request = http::Request::post("http://127.0.0.1/etcdserverpb.KV/Put")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())?;
        let mut send = self.0.clone().ready().await?;
        let (response, mut body) = send.send_request(request, false)?;
        body.send_data(message(key, value), true)?;
        let response = response.await?;
        ensure!(response.status() == 200, "etcd answers {}", response.status());
        // A refusal without a body has its status in the first headers.
        let first = response.headers().clone();
        let mut body = response.into_body();
        while let Some(part) = body.data().await {
            body.flow_control().release_capacity(part?.len())?;
        }
        let trailers = body.trailers().await?.unwrap_or(first);
        match trailers.get("grpc-status").map(|status| status.as_bytes()) {
            Some(b"0") => Ok(()),
            other => bail!("etcd refuses: {other:?} {:?}", trailers.get("grpc-message")),
        }
    }
}

fn message(key: &[u8], value: &[u8]) -> Bytes {
    let mut inner = BytesMut::new();
    for (field, bytes) in [(1_u8, key), (2, value)] {
        inner.put_u8(field << 3 | 2);
        let mut length = bytes.len();
        while length >= 0x80 {
            inner.put_u8((length as u8) | 0x80);
            length >>= 7;
        }
        inner.put_u8(length as u8);
        inner.put_slice(bytes);
    }
    let mut framed = BytesMut::with_capacity(5 + inner.len());
    framed.put_u8(0);
    framed.put_u32(inner.len() as u32);
    framed.put_slice(&inner);
    framed.freeze()
}

fn free_ports(count: usize) -> anyhow::Result<Vec<u16>> {
    let listeners: Vec<TcpListener> =
        (0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    listeners.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}

/// Processor time of a process: fields 14 and 15 of `/proc/PID/stat`, in hundredths of a second (proc(5)).
pub fn cpu_of(pid: u32) -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).context("a process has ended")?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    Ok(Duration::from_millis(10 * (ticks(11) + ticks(12))))
}
