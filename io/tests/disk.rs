//! Bodies, objects and the data directory on a real file system.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use bytes::Bytes;
use glommio::{LocalExecutorBuilder, Placement};
use sluice_io::disk::{self, BodyWriter, DataDirectory, Identity, OpenError, RangeReader};
use sluice_io::reactor::file::{BufferPool, File};

fn on_executor<F: Future<Output = ()> + 'static>(test: impl FnOnce() -> F + Send + 'static) {
    LocalExecutorBuilder::new(Placement::Unbound).spawn(test).unwrap().join().unwrap();
}

/// Bytes that differ from place to place.
fn pattern(seed: u64, bytes: u64) -> Vec<u8> {
    (0..bytes).map(|n| (n.wrapping_mul(seed | 1) >> 3) as u8 ^ seed as u8).collect()
}

async fn write(file: &File, pool: &BufferPool, offset: u64, body: &[u8], piece: usize) {
    let mut writer = BodyWriter::new(file.clone(), pool.clone(), offset, body.len() as u64);
    for piece in body.chunks(piece) {
        writer.append(Bytes::copy_from_slice(piece)).await.unwrap();
    }
    writer.finish(true).await.unwrap();
}

async fn read(file: &File, offset: u64, bytes: u64) -> Vec<u8> {
    let mut reader = RangeReader::new(file.clone(), offset, bytes);
    let mut all = Vec::new();
    while let Some(block) = reader.next().await.unwrap() {
        all.extend_from_slice(&block);
    }
    all
}

async fn neighbours_stay_whole(folder: &Path) {
    let file = File::create(&folder.join("f")).await.unwrap();
    let pool = BufferPool::new(4);
    file.preallocate(8 << 20).await.unwrap();
    // Bodies that meet inside a block, of sizes on both sides of every boundary.
    let sizes = [1, 65_536, 4_095, 70_001, 3 << 20, 131_072, 1_500_000, 65_535, 0];
    let mut offset = 0;
    let mut bodies = Vec::new();
    for (seed, size) in (1..).zip(sizes) {
        bodies.push((offset, pattern(seed, size)));
        offset += size;
    }
    let tasks: Vec<_> = (bodies.iter().cloned().enumerate())
        .map(|(n, (offset, body))| {
            let (file, pool) = (file.clone(), pool.clone());
            let piece = [1_000, 65_536, 1 << 20][n % 3];
            glommio::spawn_local(async move { write(&file, &pool, offset, &body, piece).await })
        })
        .collect();
    for task in tasks {
        task.await;
    }
    for (offset, body) in &bodies {
        assert!(read(&file, *offset, body.len() as u64).await == *body, "body at {offset}");
    }
    assert!(pool.idle() <= 4);
    // The bytes are in the file, not just in a cache of ours.
    let seen = std::fs::read(folder.join("f")).unwrap();
    assert!(bodies.iter().all(|(at, body)| seen[*at as usize..].starts_with(body)));
}

#[test]
fn bodies_written_side_by_side_do_not_touch_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().to_owned();
    on_executor(move || async move { neighbours_stay_whole(&folder).await });
}

#[test]
fn a_body_given_up_writes_no_more_once_that_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    on_executor(move || async move {
        let bytes: u64 = 3 << 20;
        let file = File::create(&path).await.unwrap();
        let pool = BufferPool::new(4);
        let (given_up, kept) = (pattern(1, bytes), pattern(2, bytes));
        for _ in 0..20 {
            let mut writer = BodyWriter::new(file.clone(), pool.clone(), 0, bytes);
            writer.append_slice(&given_up[..2 << 20]).await.unwrap();
            writer.abandon().await;
            // No await in between: a write that were still under way would land on this one.
            std::fs::write(&path, &kept).unwrap();
            glommio::timer::sleep(std::time::Duration::from_millis(2)).await;
            assert!(std::fs::read(&path).unwrap() == kept);
        }
    });
}

#[test]
fn only_a_name_that_is_not_there_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().to_owned();
    on_executor(move || async move {
        let file = folder.join("f");
        assert!(disk::is_missing(&file).await.unwrap());
        std::fs::write(&file, "x").unwrap();
        assert!(!disk::is_missing(&file).await.unwrap());
        // What can't be told is an error, not an answer.
        assert!(disk::is_missing(&file.join("below")).await.is_err());
    });
}

#[test]
fn a_file_system_without_direct_io_works_too() {
    let Ok(dir) = tempfile::tempdir_in("/dev/shm") else { return };
    let folder = dir.path().to_owned();
    on_executor(move || async move { neighbours_stay_whole(&folder).await });
}

#[test]
fn a_file_that_ends_inside_the_range_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().to_owned();
    on_executor(move || async move {
        let file = File::create(&folder.join("f")).await.unwrap();
        let mut reader = RangeReader::new(file, 0, 10);
        let kind = reader.next().await.err().map(|error| error.kind());
        assert_eq!(kind, Some(std::io::ErrorKind::UnexpectedEof));
    });
}

#[test]
fn a_hole_gives_the_disk_back_and_leaves_its_neighbours_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    on_executor(move || async move {
        const HOLE: std::ops::Range<u64> = 64 << 10..7 << 20;
        let file = File::create(&path).await.unwrap();
        file.preallocate(8 << 20).await.unwrap();
        let body = pattern(5, 8 << 20);
        write(&file, &BufferPool::new(2), 0, &body, 1 << 20).await;
        let held_bytes = || std::fs::metadata(&path).unwrap().blocks() * 512;
        assert!(held_bytes() >= 8 << 20);
        file.punch(HOLE).await.unwrap();
        assert!(held_bytes() <= (8 << 20) - (HOLE.end - HOLE.start), "{}", held_bytes());
        let left = read(&file, 0, 8 << 20).await;
        let (from, end) = (HOLE.start as usize, HOLE.end as usize);
        assert!(left[..from] == body[..from] && left[end..] == body[end..]);
        assert!(left[from..end].iter().all(|&byte| byte == 0));
    });
}

#[test]
fn sealing_can_be_repeated_and_tells_sizes_apart() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().to_owned();
    on_executor(move || async move {
        let data = DataDirectory::open(&root, Identity { node: 7, stores: 2 }).unwrap();
        let partial = disk::partial_path(data.root(), 1, "u1");
        let object = disk::object_path(data.root(), ["..", "."], "u1");
        let file = File::create(&partial).await.unwrap();
        file.preallocate(1 << 20).await.unwrap();
        let body = pattern(3, 200_001);
        write(&file, &BufferPool::new(1), 0, &body, 70_000).await;
        assert!(disk::seal(&partial, &object, 2 << 20).await.is_err());
        for _ in 0..2 {
            disk::seal(&partial, &object, body.len() as u64).await.unwrap();
        }
        assert!(disk::seal(&partial, &object, 1).await.is_err());
        assert!(!partial.exists());
        assert!(std::fs::read(&object).unwrap() == body);
        assert!(object.starts_with(root.join("objects")));
        for _ in 0..2 {
            disk::remove(&object).await.unwrap();
        }
        assert!(!object.exists());
    });
}

#[test]
fn syncs_that_come_together_all_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    on_executor(move || async move {
        let file = File::create(&path).await.unwrap();
        let tasks: Vec<_> = (0..20u64)
            .map(|n| {
                let file = file.clone();
                glommio::spawn_local(async move {
                    file.write_at(vec![1; 10], n * 10).await.unwrap();
                    file.sync_data().await.unwrap();
                })
            })
            .collect();
        for task in tasks {
            task.await;
        }
        assert_eq!(file.size().await.unwrap(), 200);
    });
}

#[test]
fn a_data_directory_has_one_owner_and_one_identity() {
    let dir = tempfile::tempdir().unwrap();
    let first = Identity { node: 0xfeed, stores: 3 };
    let open = |fresh| DataDirectory::open(dir.path(), fresh);
    let data = open(first).unwrap();
    assert!(matches!(open(first), Err(OpenError::Locked(_))));
    drop(data);
    assert_eq!(open(Identity { node: 1, stores: 9 }).unwrap().identity(), first);
    std::fs::write(dir.path().join("identity"), "something else").unwrap();
    assert!(matches!(open(first), Err(OpenError::Damaged(_))));
}

fn open_two_stores(root: &Path) -> DataDirectory {
    DataDirectory::open(root, Identity { node: 1, stores: 2 }).unwrap()
}

#[test]
fn bytes_stay_with_whoever_knows_their_uploads() {
    let folder = tempfile::tempdir().unwrap();
    let directory = open_two_stores(folder.path());
    directory.keep_state_in("local").unwrap();
    directory.keep_state_in("redis").unwrap();
    let partial = folder.path().join("partial/1/upload");
    std::fs::write(&partial, b"bytes").unwrap();
    directory.keep_state_in("redis").unwrap();
    let refused = directory.keep_state_in("local").unwrap_err().to_string();
    assert!(refused.contains("known to redis"), "{refused}");
    std::fs::remove_file(partial).unwrap();
    directory.keep_state_in("local").unwrap();
}

#[test]
fn each_beginning_has_a_number_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let begin = || open_two_stores(folder.path()).begin_epoch();
    assert_eq!([begin().unwrap(), begin().unwrap(), begin().unwrap()], [1, 2, 3]);
    std::fs::write(folder.path().join("epoch"), "many").unwrap();
    begin().unwrap_err();
}
