//! An executor that reads without end, paced or not, on CPU 0.

use std::{
    io::Write,
    net::{SocketAddr, TcpStream},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
        mpsc,
    },
    task::{Poll, Waker},
    thread,
    time::Duration,
};

use futures_lite::AsyncReadExt;
use glommio::{LocalExecutorBuilder, Placement};
use sluice_io::reactor::pacer::PacerHandle;

const BLOCK_BYTES: usize = 1 << 20;

/// One that has not begun after this has fallen asleep; if it was only late, another begins.
const BEGINS_WITHIN: Duration = Duration::from_secs(5);

/// An executor that reads from a client that always has more to send.
pub struct Reader {
    got_bytes: Arc<AtomicU64>,
    /// Of a task that does nothing.
    #[allow(dead_code, reason = "not every test wakes it")]
    pub waker: Arc<OnceLock<Waker>>,
    is_over: Arc<AtomicBool>,
}

impl Reader {
    /// `preempt`: how often the executor looks whether it should let others run.
    pub fn start(preempt: Duration, pacer: Option<PacerHandle>) -> Reader {
        let mut started = None;
        while started.is_none() {
            started = Reader::try_start(preempt, pacer.clone());
        }
        let (reader, address) = started.expect("just seen");
        let is_over = Arc::clone(&reader.is_over);
        thread::spawn(move || {
            let mut client = TcpStream::connect(address).unwrap();
            let block = vec![1; BLOCK_BYTES];
            while !is_over.load(SeqCst) && client.write_all(&block).is_ok() {}
        });
        reader
    }

    /// `None`: the executor fell asleep before its first task, when no waker is known yet.
    fn try_start(preempt: Duration, pacer: Option<PacerHandle>) -> Option<(Reader, SocketAddr)> {
        let reader =
            Reader { got_bytes: Arc::default(), waker: Arc::default(), is_over: Arc::default() };
        let (got, waker) = (Arc::clone(&reader.got_bytes), Arc::clone(&reader.waker));
        let (tell, told) = mpsc::channel();
        // It ends with the process: once asleep, nothing else ends it.
        thread::spawn(move || {
            let executor = LocalExecutorBuilder::new(Placement::Fixed(0)).preempt_timer(preempt);
            let run = move || read_for_ever(got, waker, pacer, tell);
            executor.spawn(run).unwrap().join().unwrap();
        });
        let address = told.recv_timeout(BEGINS_WITHIN).ok()?;
        Some((reader, address))
    }

    /// Ends the client, and with it the executor.
    #[allow(dead_code, reason = "not every test ends it")]
    pub fn stop(self) {
        self.is_over.store(true, SeqCst);
    }

    pub fn got_bytes(&self) -> u64 {
        self.got_bytes.load(SeqCst)
    }
}

async fn read_for_ever(
    got_bytes: Arc<AtomicU64>,
    waker: Arc<OnceLock<Waker>>,
    pacer: Option<PacerHandle>,
    tell: mpsc::Sender<SocketAddr>,
) {
    let idle = std::future::poll_fn(move |cx| {
        let _ = waker.set(cx.waker().clone());
        Poll::<()>::Pending
    });
    glommio::spawn_local(idle).detach();
    let _busy = pacer.as_ref().map(PacerHandle::begin);
    if let Some(pacer) = pacer {
        glommio::spawn_local(pacer.listen()).detach();
    }
    let listener = glommio::net::TcpListener::bind("127.0.0.1:0").unwrap();
    // Nobody may wait any more: then no client comes either.
    let _ = tell.send(listener.local_addr().unwrap());
    let mut stream = listener.accept().await.unwrap();
    let mut block = vec![0; BLOCK_BYTES];
    loop {
        let bytes = stream.read(&mut block).await.unwrap();
        if bytes == 0 {
            return;
        }
        got_bytes.fetch_add(bytes as u64, SeqCst);
    }
}
