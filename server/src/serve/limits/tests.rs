use std::path::Path;

use super::*;
use crate::config::{Machine, RawConfig, variable_of};

const STORES: u16 = 64;

fn read(settings: &[(&str, &str)]) -> Config {
    let base = [("objects", "s3"), ("s3.bucket", "bucket"), ("s3.endpoint", "http://x")];
    let all = base.iter().chain(settings);
    let env = all.map(|&(key, value)| (variable_of(key), value.to_owned()));
    let raw = RawConfig::load(Some(Path::new("/dev/null")), env, []).unwrap();
    let machine = Machine { cpus: vec![0, 1], memory_bytes: 16 << 30 };
    Config::try_from((raw, &machine)).unwrap()
}

fn room(redis_bytes: Option<u64>) -> SpoolRoom {
    SpoolRoom { stores: STORES, redis_bytes, attempt_base: 0, takes_unequal_parts: true }
}

#[test]
fn what_is_kept_for_one_upload_fits_twice_wherever_parts_wait() {
    for memory in ["512M", "1G", "4G", "16G"] {
        for spool_limit in ["2 GiB", "4 GiB", "64 GiB", "4 TiB"] {
            for spool in ["memory", "disk", "redis"] {
                let config = read(&[
                    ("memory_limit", memory),
                    ("limits.spool_limit_bytes", spool_limit),
                    ("spool", spool),
                    ("redis.url", if spool == "redis" { "redis://x" } else { "" }),
                    ("s3.single_put_bytes", "1 GiB"),
                ]);
                check(&config, STORES, None).unwrap();
                let rules = shard_config(&config, &room(None));
                let room_bytes = match config.layers.spool {
                    Spool::Memory => rules.budget_bytes,
                    Spool::Disk | Spool::Redis => rules.spool_bytes_max,
                };
                let case = format!("{memory}, {spool_limit}, {spool}: {rules:?}");
                assert!(2 * rules.kept_bytes() <= room_bytes, "{case}");
                assert!(rules.plan.part_bytes_max >= PART_BYTES_MIN, "{case}");
                assert!(rules.plan.part_bytes_base <= rules.plan.part_bytes_max, "{case}");
                assert!(rules.plan.single_put_bytes <= rules.plan.part_bytes_max, "{case}");
                assert!(rules.segment_bytes >= rules.max_chunk_bytes, "{case}");
                assert!(rules.max_upload_bytes <= rules.plan.object_bytes_max(), "{case}");
            }
        }
    }
}

#[test]
fn too_little_for_the_smallest_part_is_refused_by_name() {
    let little = [("limits.spool_limit_bytes", "1 GiB")];
    let error = check(&read(&little), STORES, None).unwrap_err().to_string();
    assert!(error.starts_with("`limits.spool_limit_bytes`"), "{error}");
    let little = [("memory_limit", "112M"), ("spool", "memory")];
    let error = check(&read(&little), STORES, None).unwrap_err().to_string();
    assert!(error.starts_with("`memory_limit`"), "{error}");
    let redis = [("spool", "redis"), ("redis.url", "redis://x")];
    check(&read(&redis), STORES, Some(64 << 20)).unwrap();
    check(&read(&redis), STORES, Some(8 << 20)).unwrap_err();
}

#[test]
fn a_store_that_wants_equal_parts_gets_the_longest() {
    let config = read(&[]);
    let room = SpoolRoom { takes_unequal_parts: false, ..room(None) };
    let plan = plan(&config, &room);
    assert_eq!(plan.equal_part_bytes, Some(plan.part_bytes_max));
    assert!(plan.schedule(None).is_some());
}
