//! What only Redis has: it forgets, and goes back in time.

use super::{kept::RedisKept, *};
use crate::store::{LiveUploads, StepError, StoreError, redis::Renewed};

/// Long enough from now that Redis forgets nothing.
const WALL_MS: u64 = 1 << 42;

fn chunk(bytes: u64) -> ChunkRecord {
    let place = ChunkPlace::Object;
    ChunkRecord { attempt: 0, bytes, crc64nvme: 1, crc32c: 1, sha256: None, place }
}

fn put(number: u32) -> Transition {
    Transition::PutChunk { number, chunk: chunk(u64::from(number) + 1), total_chunks: None }
}

/// An upload of so many chunks: its steps, and what they make.
fn upload(chunks: u32) -> (Vec<Transition>, StoredUpload) {
    let mut steps = vec![Transition::Create(Box::new(record()))];
    steps.extend((0..chunks).map(put));
    steps.push(Transition::HashState(vec![0, 255]));
    let mut stored = StoredUpload::new(record(), 1);
    steps[1..].iter().for_each(|step| stored.apply(step, 77));
    (steps, stored)
}

/// The same, the first chunk of which must come again as it was, and with so many parts, half of which
/// the store has.
fn upload_by_parts(chunks: u32, parts: u32) -> (Vec<Transition>, StoredUpload) {
    let (mut steps, mut stored) = upload(chunks);
    let begin = Transition::BeginMultipart { multipart_id: "m".to_owned() };
    let mut more = vec![begin, Transition::BindChunk { number: 0 }];
    more.extend((1..=parts).map(|part| Transition::PlanPart { part, bytes: 5 << 20 }));
    more.extend((1..=parts / 2).map(|part| {
        let stored = StoredAs { etag: "alike".to_owned(), version_id: None };
        Transition::StorePart { part, stored }
    }));
    more.iter().for_each(|step| stored.apply(step, 77));
    steps.extend(more);
    (steps, stored)
}

fn take(kept: &RedisKept, first_rev: u64, steps: Vec<Transition>) -> Result<(), StoreError> {
    kept.ask(async move |stores| {
        stores.take_steps(record().upload_id, first_rev, 77, WALL_MS, &steps).await
    })
}

fn load(kept: &RedisKept) -> Loaded {
    kept.ask(async |stores| stores.load_one(record().upload_id, 100_000).await.unwrap())
}

fn restore(kept: &RedisKept, stored: &StoredUpload) -> Result<(), StoreError> {
    let stored = stored.clone();
    kept.ask(async move |stores| stores.restore(&stored, WALL_MS).await)
}

#[test]
fn what_redis_lost_is_written_again_as_its_owner_knows_it() {
    let kept = RedisKept::empty();
    // More than a call of Lua takes, and more than a page.
    for (chunks, parts) in [(0, 0), (3, 2), (9_000, 10_000), (20_001, 1)] {
        kept.redis.ask(&["flushall"]);
        let (mut steps, stored) = upload_by_parts(chunks, parts);
        let missing = take(&kept, stored.rev + 1, vec![Transition::Completing { object: None }]);
        assert!(matches!(missing, Err(StoreError::Step(StepError::Gap { rev: 0, .. }))));
        restore(&kept, &stored).unwrap();
        assert_eq!(load(&kept), Loaded::Whole(Box::new(stored.clone())));
        take(&kept, stored.rev + 1, vec![Transition::Completing { object: None }]).unwrap();
        steps.truncate(2);
        take(&kept, 1, steps).expect("steps that were taken before are");
        // It has more than that now.
        restore(&kept, &stored).unwrap();
        let Loaded::Whole(loaded) = load(&kept) else { panic!("it is there") };
        assert_eq!((loaded.rev, loaded.record.state), (stored.rev + 1, State::Completing));
    }
}

#[test]
fn what_came_back_older_loses_what_it_shouldnt_have() {
    let kept = RedisKept::empty();
    let (steps, _) = upload(3);
    let (head, tail) = steps.split_at(3);
    take(&kept, 1, head.to_vec()).unwrap();
    // Unknown to Redis: chunk 0 was lost, and more came.
    let mut stored = StoredUpload::new(record(), 1);
    let lost = Transition::LoseChunk { number: 0 };
    head[1..].iter().chain([&lost]).chain(tail).for_each(|step| stored.apply(step, 77));
    let gap = take(&kept, stored.rev, vec![put(9)]).unwrap_err();
    assert!(matches!(gap, StoreError::Step(StepError::Gap { rev: 3, .. })), "{gap}");
    restore(&kept, &stored).unwrap();
    assert_eq!(load(&kept), Loaded::Whole(Box::new(stored)));
}

#[test]
fn whoever_was_succeeded_restores_nothing_and_an_older_one_adopts_nothing() {
    let kept = RedisKept::empty();
    let (steps, mut stored) = upload(1);
    take(&kept, 1, steps).unwrap();
    let old = kept.succeed();
    let new = old.succeed();
    let load_open =
        |kept: &RedisKept| kept.ask(async |stores| stores.load_open(STORE, WALL_MS).await);
    assert_eq!(load_open(&new).unwrap().uploads, [stored.clone()]);
    assert!(matches!(load_open(&old), Err(StoreError::Step(StepError::Fenced))));
    stored.rev += 1;
    assert!(matches!(restore(&old, &stored), Err(StoreError::Step(StepError::Fenced))));
    restore(&new, &stored).unwrap();
}

#[test]
fn every_key_of_an_upload_is_forgotten_some_day() {
    let kept = RedisKept::empty();
    let (steps, stored) = upload_by_parts(2, 2);
    take(&kept, 1, steps).unwrap();
    let keys = || {
        let keys = kept.redis.ask(&["keys", "upload:*"]);
        keys.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let expire = |key: &str| kept.redis.ask(&["pexpiretime", key]).parse::<u64>().unwrap();
    assert_eq!(keys().len(), 5);
    let open: Vec<u64> = keys().iter().map(|key| expire(key)).collect();
    assert!(open.iter().all(|&at_ms| at_ms == open[0] && at_ms > 1 << 42), "{open:?}");
    let end = Transition::End { state: State::Aborted, error: None };
    take(&kept, stored.rev + 1, vec![end, Transition::CleanedUp]).unwrap();
    assert_eq!(keys().len(), 3, "neither parts nor lost chunks");
    assert!(keys().iter().all(|key| expire(key) == open[0]));
    kept.redis.ask(&["flushall"]);
    restore(&kept, &stored).unwrap();
    assert_eq!(keys().len(), 5);
    assert!(keys().iter().all(|key| expire(key) > 0));
}

#[test]
fn a_full_redis_records_and_frees_all_the_same() {
    let kept = RedisKept::empty();
    kept.redis.ask(&["config", "set", "maxmemory", "1"]);
    assert!(kept.redis.ask(&["set", "k", "v"]).contains("OOM"));
    let (steps, stored) = upload(1);
    take(&kept, 1, steps).unwrap();
    let end = Transition::End { state: State::Aborted, error: None };
    take(&kept, stored.rev + 1, vec![end, Transition::CleanedUp]).unwrap();
    assert!(kept.ask(async |stores| stores.forget_ended(STORE, 78, 9).await.unwrap()));
    assert_eq!(load(&kept), Loaded::Nothing);
    restore(&kept, &stored).unwrap();
    assert_eq!(load(&kept), Loaded::Whole(Box::new(stored)));
    kept.redis.ask(&["config", "set", "maxmemory", "1gb"]);
}

#[test]
fn who_had_an_upload_before_doesnt_get_it_back_when_redis_goes_back_in_time() {
    let old = RedisKept::empty();
    let (steps, mut stored) = upload(2);
    take(&old, 1, steps).unwrap();
    let state = format!("upload:{{{}}}:state", record().upload_id);
    let old_fence = old.redis.ask(&["hget", &state, "fence"]).trim().to_owned();
    let new = old.succeed();
    new.ask(async |stores| stores.load_open(STORE, WALL_MS).await.unwrap());
    // As it was before the new process adopted it; then as it was some steps before that.
    for rev in [stored.rev, 2] {
        new.redis.ask(&["hset", &state, "fence", &old_fence, "rev", &rev.to_string()]);
        stored.apply(&put(9), 77);
        match take(&new, stored.rev, vec![put(9)]) {
            Err(StoreError::Step(StepError::Gap { .. })) => restore(&new, &stored).unwrap(),
            taken => taken.unwrap(),
        }
        let gone = take(&old, stored.rev + 1, vec![put(10)]);
        assert!(matches!(gone, Err(StoreError::Step(StepError::Fenced))), "{gone:?}");
    }
    assert_eq!(load(&new), Loaded::Whole(Box::new(stored)));
}

#[test]
fn restores_of_the_same_upload_at_the_same_time_take_nothing_away() {
    let kept = RedisKept::empty();
    let (_, stored) = upload(60_001);
    for lead in 0..4 {
        kept.redis.ask(&["flushall"]);
        let (one, other) = (stored.clone(), stored.clone());
        kept.ask(async move |stores| {
            let late = async {
                // Begins while the first is at its second page, or about there.
                for _ in 0..lead {
                    stores.lacks(&record().upload_id, 1).await.unwrap();
                }
                stores.restore(&other, WALL_MS).await.unwrap();
            };
            futures_util::future::join(async { stores.restore(&one, WALL_MS).await.unwrap() }, late)
                .await
        });
        assert_eq!(load(&kept), Loaded::Whole(Box::new(stored.clone())), "lead {lead}");
    }
    let left = kept.redis.ask(&["keys", "upload:*:restored:*"]);
    assert_eq!(left.trim(), "");
}

#[test]
fn a_restore_that_stops_halfway_leaves_what_was_there() {
    let kept = RedisKept::empty();
    let (steps, stored) = upload(60_001);
    take(&kept, 1, steps[..1].to_vec()).unwrap();
    for (nth, steps) in steps[1..].chunks(1_000).enumerate() {
        take(&kept, 2 + 1_000 * nth as u64, steps.to_vec()).unwrap();
    }
    let state = format!("upload:{{{}}}:state", record().upload_id);
    let chunks = format!("upload:{{{}}}:chunks", record().upload_id);
    let rev = (stored.rev - 1).to_string();
    // Wherever the process dies.
    for answers in 2..10 {
        kept.redis.ask(&["hset", &state, "rev", &rev]);
        let stored = stored.clone();
        kept.ask(async move |stores| {
            let restoring = std::pin::pin!(stores.restore(&stored, WALL_MS));
            let dying = std::pin::pin!(async {
                for _ in 0..answers {
                    stores.lacks(&record().upload_id, 1).await.unwrap();
                }
            });
            futures_util::future::select(restoring, dying).await;
        });
        assert_eq!(kept.redis.ask(&["hlen", &chunks]).trim(), "60001", "after {answers} answers");
    }
}

#[test]
fn an_upload_that_ended_is_live_no_more_once_it_is_restored() {
    let kept = RedisKept::empty();
    let (_, mut stored) = upload(1);
    let end = Transition::End { state: State::Aborted, error: None };
    [end, Transition::CleanedUp].iter().for_each(|step| stored.apply(step, 77));
    restore(&kept, &stored).unwrap();
    assert_eq!(kept.redis.ask(&["keys", "sluice:live:*"]).trim(), "");
    assert!(kept.ask(async |stores| stores.forget_ended(STORE, 78, 9).await.unwrap()));
    assert_eq!(kept.redis.ask(&["keys", "upload:*"]).trim(), "");
}

#[test]
fn a_lease_that_lapsed_under_a_later_process_isnt_taken_back() {
    let old = RedisKept::empty();
    let _new = old.succeed();
    let key = old.redis.ask(&["keys", "sluice:node:*:lease"]).trim().to_owned();
    old.redis.ask(&["del", &key]);
    let renewed = old.renew();
    assert_eq!(renewed, Renewed::Succeeded);
}

#[test]
fn an_open_upload_that_nobody_adopted_is_told_from_others() {
    let old = RedisKept::empty();
    let (steps, stored) = upload(1);
    take(&old, 1, steps).unwrap();
    let new = old.succeed();
    assert_eq!(load(&old), Loaded::Whole(Box::new(stored.clone())));
    // It wasn't found when the new process began, which gave back what it held.
    assert_eq!(load(&new), Loaded::Left(Box::new(stored.clone())));
    new.ask(async |stores| stores.load_open(STORE, WALL_MS).await.unwrap());
    assert_eq!(load(&new), Loaded::Whole(Box::new(stored)));
    let fenced = old.ask(async |stores| stores.load_one(record().upload_id, 9).await);
    assert!(matches!(fenced, Err(StoreError::Step(StepError::Fenced))), "{fenced:?}");
}

#[test]
fn what_was_announced_and_never_made_is_named_nowhere_after_the_next_start() {
    let old = RedisKept::empty();
    old.ask(async |stores| stores.announce(&record()).await.unwrap());
    assert_ne!(old.redis.ask(&["keys", "sluice:live:*"]), "");
    let new = old.succeed();
    let found = new.ask(async |stores| stores.load_open(STORE, WALL_MS).await.unwrap());
    assert_eq!(found, LiveUploads::default());
    assert_eq!(new.redis.ask(&["keys", "sluice:live:*"]), "");
    assert_eq!(new.redis.ask(&["keys", "sluice:store:*"]), "");
}

/// Another process may run as the node by then.
#[test]
fn who_couldnt_renew_its_lease_writes_nothing() {
    let kept = RedisKept::empty();
    let (steps, mut stored) = upload(1);
    take(&kept, 1, steps).unwrap();
    let end = Transition::End { state: State::Aborted, error: None };
    take(&kept, stored.rev + 1, vec![end, Transition::CleanedUp]).unwrap();
    kept.lapse();
    // It would go by itself.
    let lease = kept.redis.ask(&["keys", "sluice:node:*:lease"]);
    kept.redis.ask(&["del", &lease]);
    let state = format!("upload:{{{}}}:state", record().upload_id);
    let seen = || [&["debug", "digest"], &["pexpiretime", &state]].map(|ask| kept.redis.ask(ask));
    let before = seen();
    stored.rev += 9;
    let other = UploadRecord { upload_id: UploadId::new(NODE, STORE, [8; 15]), ..record() };
    let lapsed = kept.ask(async move |stores| {
        let id = stored.record.upload_id;
        [
            stores.restore(&stored, WALL_MS).await,
            stores.announce(&other).await,
            stores.settle(&other.upload_id, 9).await,
            stores.keep(&id, WALL_MS * 2).await,
            stores.forget_ended(STORE, 78, 9).await.map(drop),
            stores.take_steps(id, 1, 77, WALL_MS, &[]).await,
        ]
    });
    for ended in lapsed {
        assert!(matches!(ended, Err(StoreError::Lapsed)), "{ended:?}");
    }
    assert_eq!(seen(), before);
    assert_eq!(kept.renew(), Renewed::Held);
    assert!(kept.ask(async |stores| stores.forget_ended(STORE, 78, 9).await.unwrap()));
}

#[test]
fn who_may_write_an_upload_is_the_same_for_every_script() {
    let kept = RedisKept::empty();
    let (steps, stored) = upload(1);
    take(&kept, 1, steps).unwrap();
    let state = format!("upload:{{{}}}:state", record().upload_id);
    let own = kept.redis.ask(&["hget", &state, "fence"]);
    let (node, rest) = own.split_once(':').unwrap();
    let (epoch, token) = rest.split_once(':').unwrap();
    let epoch: u64 = epoch.parse().unwrap();
    let fence = |epoch: u64, token: &str| format!("{node}:{epoch}:{token}");
    let other = "ffffffffffffff00";
    for (fence, takes, adopts) in [
        (own.clone(), true, true),
        (fence(epoch - 1, other), true, true),
        (fence(epoch, other), false, true),
        (fence(epoch + 1, token), false, false),
        (own.replacen(node, other, 1), false, false),
    ] {
        let set = || kept.redis.ask(&["hset", &state, "fence", &fence, "rev", "1"]);
        let is_fenced = |ended: Result<(), StoreError>| match ended {
            Ok(()) => false,
            Err(StoreError::Step(StepError::Fenced)) => true,
            Err(error) => panic!("{error}"),
        };
        set();
        assert_eq!(is_fenced(take(&kept, 2, vec![put(0)])), !takes, "{fence}");
        set();
        assert_eq!(is_fenced(restore(&kept, &stored)), !takes, "{fence}");
        set();
        let adopted = kept.ask(async |stores| stores.load_open(STORE, WALL_MS).await);
        assert_eq!(is_fenced(adopted.map(drop)), !adopts, "{fence}");
    }
}

/// Neither is taken for one that was never made, whose claims would go to others.
#[test]
fn an_upload_whose_keys_are_damaged_is_left_alone() {
    let old = RedisKept::empty();
    let (steps, stored) = upload(1);
    take(&old, 1, steps).unwrap();
    let key = |part: &str| format!("upload:{{{}}}:{part}", record().upload_id);
    let [state, chunks] = ["state", "chunks"].map(key);
    let fence = old.redis.ask(&["hget", &state, "fence"]);
    old.redis.ask(&["copy", &chunks, "saved", "replace"]);
    let spoil: [&[&str]; 6] = [
        &["hset", &state, "rev", "x"],
        &["hset", &state, "fence", "x"],
        &["hdel", &state, "fence"],
        &["hset", &chunks, "0", "0 x"],
        &["hset", &chunks, "0", "\u{fffd}"],
        &["set", &chunks, "no hash"],
    ];
    let damaged = LiveUploads { uploads: Vec::new(), damaged: vec![record().upload_id] };
    for spoil in spoil {
        old.redis.ask(spoil);
        let live = old.redis.ask(&["--scan", "--pattern", "sluice:live:*"]);
        let new = old.succeed();
        let found = new.ask(async |stores| stores.load_open(STORE, WALL_MS).await.unwrap());
        assert_eq!(found, damaged, "{spoil:?}");
        assert_eq!(load(&new), Loaded::Damaged, "{spoil:?}");
        assert_eq!(old.redis.ask(&["--scan", "--pattern", "sluice:live:*"]), live);
        // As somebody mends it.
        let rev = stored.rev.to_string();
        old.redis.ask(&["hset", &state, "rev", &rev, "fence", &fence]);
        old.redis.ask(&["copy", "saved", &chunks, "replace"]);
        let found = new.ask(async |stores| stores.load_open(STORE, WALL_MS).await.unwrap());
        assert_eq!(found.uploads, std::slice::from_ref(&stored), "{spoil:?}");
    }
}
