//! Alone in its process, as it changes the process's limits.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use sluice_io::reactor::executor::{ExecutorError, Executors};
use sluice_io::reactor::kernel::KernelError;
use sluice_io::reactor::timer;

#[test]
fn too_little_lockable_memory_is_told_and_nothing_runs() {
    drop_ipc_lock();
    let may_end = Arc::new(AtomicBool::new(false));
    let (tell, told) = mpsc::channel();
    let seen = Arc::clone(&may_end);
    let running = Executors::spawn(&[0, 0], move |_, _| {
        let (tell, seen) = (tell.clone(), Arc::clone(&seen));
        async move {
            tell.send(()).unwrap();
            while !seen.load(SeqCst) {
                timer::sleep(Duration::from_millis(5)).await;
            }
        }
    })
    .unwrap();
    (0..2).for_each(|_| told.recv().unwrap());

    // Known beforehand.
    limit_locked(600_000);
    assert_eq!(refused(4), (4, 4 * 256 * 1024, 600_000));
    // Enough by itself, but the two that run count too: the kernel refuses.
    limit_locked(512 * 1024);
    assert_eq!(refused(1), (1, 512 * 1024, 512 * 1024));
    // What glommio refuses by itself.
    limit_locked(64 * 1024);
    assert_eq!(refused(1), (1, 512 * 1024, 64 * 1024));

    may_end.store(true, SeqCst);
    running.join().unwrap();
}

fn refused(executors: usize) -> (usize, u64, u64) {
    let began = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&began);
    let refused = Executors::spawn(&vec![0; executors], move |_, _| {
        counted.fetch_add(1, SeqCst);
        async {}
    });
    assert_eq!(began.load(SeqCst), 0);
    match refused.map(|_| ()) {
        Err(ExecutorError::Kernel(KernelError::LockedMemory {
            executors,
            needed_bytes,
            limit_bytes,
        })) => (executors, needed_bytes, limit_bytes),
        other => panic!("{other:?}"),
    }
}

fn limit_locked(bytes: u64) {
    // SAFETY: plain data, for which all zeroes is a value.
    let mut limit: libc::rlimit = unsafe { std::mem::zeroed() };
    // SAFETY: the limit lives for the length of the calls.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_MEMLOCK, &mut limit), 0);
        limit.rlim_cur = bytes;
        assert_eq!(libc::setrlimit(libc::RLIMIT_MEMLOCK, &limit), 0);
    }
}

/// Takes CAP_IPC_LOCK from this thread, so that the limit counts for root too.
fn drop_ipc_lock() {
    const VERSION: u32 = 0x2008_0522;
    let header = [VERSION, 0];
    // Effective, permitted and inheritable, first the lower 32 bits of each.
    let mut sets = [0u32; 6];
    // SAFETY: both arrays have the layout of the kernel's structures and live for the calls.
    unsafe {
        assert_eq!(libc::syscall(libc::SYS_capget, header.as_ptr(), sets.as_mut_ptr()), 0);
        sets[0] &= !(1 << 14);
        assert_eq!(libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()), 0);
    }
}
