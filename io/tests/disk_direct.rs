//! Direct I/O goes to the disk, whatever file came first; and where it is refused, that is seen.

use std::io::ErrorKind;
use std::path::Path;

use glommio::{LocalExecutorBuilder, Placement};
use sluice_io::reactor::file::{BUFFER_BYTES, BufferPool, File, buffered_fallbacks};

fn on_new_executor<F: Future<Output = ()> + 'static>(test: impl FnOnce() -> F + Send + 'static) {
    LocalExecutorBuilder::new(Placement::Unbound).spawn(test).unwrap().join().unwrap();
}

/// Writes a buffer, over it, and reads it back.
async fn write_twice_and_read(file: &File, position: u64) {
    let pool = BufferPool::new(2);
    for seed in [3, 5] {
        let mut buffer = file.buffer(&pool, BUFFER_BYTES);
        buffer.bytes_mut().fill(seed);
        file.start_write_direct(buffer, position).done().await.unwrap();
    }
    let read = file.read_at(position, BUFFER_BYTES).await.unwrap();
    assert!(read.len() == BUFFER_BYTES && read.iter().all(|&byte| byte == 5));
}

async fn all_goes_direct(path: &Path, reserved_bytes: u64) {
    let file = File::create(path).await.unwrap();
    if file.is_direct() {
        file.preallocate(reserved_bytes).await.unwrap();
        write_twice_and_read(&file, 0).await;
        assert_eq!(buffered_fallbacks(), 0);
    }
}

#[test]
fn an_empty_or_a_reserved_file_that_comes_first_turns_nothing_away_from_the_disk() {
    for reserved_bytes in [1, 4 << 20] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        // Opened again when it is reserved already.
        for _ in 0..2 {
            let path = path.clone();
            on_new_executor(move || async move { all_goes_direct(&path, reserved_bytes).await });
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing lies beside it");
    }
}

#[test]
fn what_is_refused_goes_through_the_cache_and_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (dir.path().join("first"), dir.path().join("second"));
    on_new_executor(move || async move {
        // Behind our back, glommio learns from an empty file that the disk can be polled.
        std::fs::write(&first, "").unwrap();
        let misled = glommio::io::OpenOptions::new().read(true).dma_open(&first).await.unwrap();
        std::fs::write(&first, [1; 4096]).unwrap();
        let read = misled.read_at(0, 4096).await.map_err(std::io::Error::from);
        let is_refused = read.is_err_and(|error| error.kind() == ErrorKind::Unsupported);
        let file = File::create(&second).await.unwrap();
        if file.is_direct() {
            write_twice_and_read(&file, 0).await;
            assert_eq!(buffered_fallbacks() > 0, is_refused);
        }
        assert!(misled.close().await.is_ok());
    });
}
