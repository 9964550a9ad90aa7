//! Why there is a pacer: without it glommio 0.9.0 goes to sleep for good on work that is there.
//!
//! When the preempt timer fires between the poll of the rings and the first task, the executor
//! takes it that nothing was left to run, and sleeps in the kernel with its queues full. At our
//! 250 µs that takes seconds of load; here the timer fires each 20 µs, and it takes a moment.

use std::{
    io::Write,
    net::{SocketAddr, TcpStream},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::SeqCst},
        mpsc,
    },
    task::{Poll, Waker},
    thread,
    time::Duration,
};

use futures_lite::AsyncReadExt;
use glommio::{LocalExecutorBuilder, Placement};
use sluice_io::reactor::{
    pacer::{Pacer, PacerHandle},
    timer,
};

const PREEMPT: Duration = Duration::from_micros(20);
const BLOCK_BYTES: usize = 1 << 20;

/// No byte for so long, though more wait: it sleeps. Ten thousand times what a read takes.
const ASLEEP_MS: u64 = 2_000;

/// An executor that reads from a client that always has more to send.
struct Reader {
    got_bytes: Arc<AtomicU64>,
    /// Of a task that does nothing.
    waker: Arc<OnceLock<Waker>>,
}

impl Reader {
    fn start(pacer: Option<PacerHandle>) -> Reader {
        let mut started = None;
        while started.is_none() {
            started = Reader::try_start(pacer.clone());
        }
        let (reader, address) = started.expect("just seen");
        thread::spawn(move || {
            let mut client = TcpStream::connect(address).unwrap();
            let block = vec![1; BLOCK_BYTES];
            while client.write_all(&block).is_ok() {}
        });
        reader
    }

    /// `None`: the executor fell asleep before its first task, when no waker is known yet.
    fn try_start(pacer: Option<PacerHandle>) -> Option<(Reader, SocketAddr)> {
        let reader = Reader { got_bytes: Arc::default(), waker: Arc::default() };
        let (got, waker) = (Arc::clone(&reader.got_bytes), Arc::clone(&reader.waker));
        let (tell, told) = mpsc::channel();
        // It ends with the process: once asleep, nothing else ends it.
        thread::spawn(move || {
            let executor = LocalExecutorBuilder::new(Placement::Fixed(0)).preempt_timer(PREEMPT);
            let run = move || read_for_ever(got, waker, pacer, tell);
            executor.spawn(run).unwrap().join().unwrap();
        });
        let address = told.recv_timeout(Duration::from_millis(ASLEEP_MS)).ok()?;
        Some((reader, address))
    }

    fn got_bytes(&self) -> u64 {
        self.got_bytes.load(SeqCst)
    }

    /// Waits until it has read so much, or sleeps; whether it has.
    fn reads(&self, until_bytes: u64) -> bool {
        let (mut before, mut since_ms) = (self.got_bytes(), timer::now_ms());
        while before < until_bytes {
            thread::sleep(Duration::from_millis(5));
            let now = self.got_bytes();
            if now > before {
                (before, since_ms) = (now, timer::now_ms());
            } else if timer::now_ms() - since_ms > ASLEEP_MS {
                return false;
            }
        }
        true
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
        got_bytes.fetch_add(bytes as u64, SeqCst);
    }
}

#[test]
fn an_executor_falls_asleep_on_its_work_unless_it_is_paced() {
    // Far more than it reads before it sleeps: some 100 MB.
    let enough_bytes = 100 << 30;
    let unpaced = Reader::start(None);
    assert!(!unpaced.reads(enough_bytes), "glommio sleeps no more: is the pacer still needed?");
    let asleep_bytes = unpaced.got_bytes();

    let pacer = Pacer::start().unwrap();
    let paced = Reader::start(Some(pacer.handle()));
    let much_bytes = 10 * asleep_bytes + (1 << 30);
    assert!(paced.reads(much_bytes), "asleep after {} bytes", paced.got_bytes());

    // And the one that sleeps does so no longer once a thread outside has woken it.
    assert_eq!(unpaced.got_bytes(), asleep_bytes);
    unpaced.waker.get().unwrap().wake_by_ref();
    assert!(unpaced.reads(asleep_bytes + 1));
}
