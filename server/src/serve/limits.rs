//! From the settings to what one shard is given: its rules and its edge.

use sluice_io::edge::{connection::EdgeConfig, credit::CreditLimits, pool::PoolLimits};
use sluice_shard::{
    ShardConfig,
    config::{Objects as ShardObjects, Spool as ShardSpool},
    parts::{PART_BYTES_BASE, PART_BYTES_MAX, PART_BYTES_MIN, Plan},
};

use super::service::Offer;
use crate::config::{Config, Objects, Spool};
use sluice_proto::units::format_size;

/// What one chunk holds on its way to disk: two writes under way, one buffer that fills.
const HOLD_BYTES: u64 = 4 << 20;
/// Ended uploads in memory, a shard: those that may still be asked for soon.
const ENDED_MAX: usize = 4096;
/// What the record of a chunk takes in memory.
const CHUNK_RECORD_BYTES: u64 = 192;
/// Chunks on their way in, a shard.
const STREAMS_MAX: usize = 4096;
/// Spool segments have this length, unless chunks are longer or the spool is too small.
const SEGMENT_BYTES: u64 = 64 << 20;
/// No setting makes chunks smaller than this.
const CHUNK_BYTES_MIN: u64 = 64 << 10;
/// Redis takes no longer value (`proto-max-bulk-len`).
const REDIS_VALUE_BYTES_MAX: u64 = 512 << 20;
/// The room of a shard in Redis holds at least so many of the largest chunks: half of it is for what
/// waits for others, and one is kept for whoever is first.
const REDIS_CHUNKS_MIN: u64 = 4;
const PLACES_IN_FLIGHT_MAX: usize = 4;
const HASH_STEP_BYTES: u64 = 4 << 20;
const HASH_RECORD_BYTES: u64 = 64 << 20;

/// What is kept free for one upload on disk is enough for chunks of a block.
const CHUNK_BYTES_USUAL: u64 = 4096;
/// Of the room where bytes wait for S3, one part takes this share at most.
const PARTS_IN_ROOM: u64 = 8;
/// What is read ahead for one request to S3.
const SEND_BYTES: u64 = 1 << 20;

pub(super) const BLOCK_BYTES: u64 = 1 << 20;
pub(super) const STREAM_CEILING_BYTES: u64 = 16 << 20;
/// Redis takes bytes slower than they come: what waits for it should still lie in a cache.
const REDIS_STREAM_CEILING_BYTES: u64 = 2 << 20;
const CONNECTION_CEILING_BYTES: u64 = 64 << 20;
/// Bigger frames cost less CPU; this one still lets other streams have their turn.
const MAX_FRAME_BYTES: u32 = 1 << 20;
const HEADER_LIST_BYTES_MAX: u32 = 16 << 10;
/// What a client may still send of a request that was answered.
const DRAIN_BYTES_MAX: u64 = 1 << 20;
const DRAIN_MS_MAX: u64 = 5_000;
const KEEPALIVE_MS: u64 = 30_000;
/// What a call takes in memory beside its payload.
const CALL_BYTES: u64 = 16 << 10;
/// A client that takes nothing of its answer for so long doesn't get the rest.
const REPLY_MS_MAX: u64 = 30_000;

/// The rules of one shard.
pub(super) fn shard_config(config: &Config, room: &SpoolRoom) -> ShardConfig {
    let shards = u64::from(config.shards());
    let table_bytes = config.memory.table_bytes;
    let limits = &config.limits;
    let uploads_max = u64::from(limits.uploads_max).div_ceil(shards);
    ShardConfig {
        objects: match config.layers.objects {
            Objects::Discard => ShardObjects::Discard,
            Objects::Fs => ShardObjects::Files,
            Objects::S3 => ShardObjects::S3,
        },
        plan: plan(config, room),
        spool: match config.layers.spool {
            Spool::Memory => ShardSpool::Memory,
            Spool::Disk => ShardSpool::Disk,
            Spool::Redis => ShardSpool::Redis,
        },
        crc: config.crc,
        discards_whole: config.discards_whole,
        max_chunk_bytes: max_chunk_bytes(config, room),
        max_upload_bytes: max_upload_bytes(config, room),
        chunk_bytes_usual: CHUNK_BYTES_USUAL,
        budget_bytes: config.memory.chunk_bytes - send_bytes(config),
        hold_bytes: HOLD_BYTES,
        uploads_max: uploads_max as usize,
        ended_max: ENDED_MAX,
        upload_bytes_max: (table_bytes / 2) as usize,
        streams_max: STREAMS_MAX,
        waiting_max: STREAMS_MAX,
        chunk_records_max: (table_bytes / 2 / CHUNK_RECORD_BYTES) as usize,
        admission_wait_ms: limits.admission_wait.as_millis() as u64,
        upload_lifetime_ms: limits.upload_lifetime.as_millis() as u64,
        segment_bytes: segment_bytes(config, room),
        spool_bytes_max: spool_share_bytes(config, room),
        attempt_base: room.attempt_base,
        places_in_flight_max: match &config.s3 {
            Some(s3) => s3.parts_in_flight as usize,
            None => PLACES_IN_FLIGHT_MAX,
        },
        hash_step_bytes: HASH_STEP_BYTES,
        hash_record_bytes: HASH_RECORD_BYTES,
    }
}

/// What bears on the spool beside the settings.
#[derive(Clone, Copy, Debug)]
pub(super) struct SpoolRoom {
    pub(super) stores: u16,
    /// Memory that bodies in Redis may take; `None` where there is no limit.
    pub(super) redis_bytes: Option<u64>,
    pub(super) attempt_base: u32,
    /// With an object store: whether it takes parts of any lengths.
    pub(super) takes_unequal_parts: bool,
}

/// Why nothing can be stored with these settings.
#[derive(Debug, thiserror::Error)]
#[error("`{key}` leaves {found} where parts wait for the object store; it takes at least {needed}")]
pub struct TooSmall {
    key: &'static str,
    found: String,
    needed: String,
}

/// Whether there is room for parts, and for the chunks that they are made of.
pub(super) fn check(
    config: &Config,
    stores: u16,
    redis_bytes: Option<u64>,
) -> Result<(), TooSmall> {
    let room = SpoolRoom { stores, redis_bytes, attempt_base: 0, takes_unequal_parts: true };
    let Some((room_bytes, cost)) = part_room(config, &room) else { return Ok(()) };
    let needed_bytes = cost * (PART_BYTES_MIN + 2 * CHUNK_BYTES_MIN);
    if room_bytes >= needed_bytes {
        return Ok(());
    }
    let (key, shares) = match config.layers.spool {
        Spool::Memory => ("memory_limit", config.shards()),
        Spool::Disk => ("limits.spool_limit_bytes", stores),
        Spool::Redis => ("limits.spool_limit_bytes", config.shards()),
    };
    let kind = if config.layers.spool == Spool::Disk { "store" } else { "shard" };
    let told = |bytes| format!("{} for each of {shares} {kind}s", format_size(bytes));
    Err(TooSmall { key, found: told(room_bytes), needed: told(needed_bytes) })
}

/// With an object store: the room where bytes wait for it that one upload must fit into twice, and how
/// many bytes of it a byte of a part takes for that.
///
/// On disk each chunk begins on a whole block, so what is kept free is twice the part's length.
fn part_room(config: &Config, room: &SpoolRoom) -> Option<(u64, u64)> {
    (config.layers.objects == Objects::S3).then(|| match config.layers.spool {
        Spool::Memory => (config.memory.chunk_bytes, 2),
        Spool::Disk => (spool_share_bytes(config, room), 4),
        Spool::Redis => (spool_share_bytes(config, room), 2),
    })
}

/// How objects are cut into parts for an object store.
fn plan(config: &Config, room: &SpoolRoom) -> Plan {
    let Some((room_bytes, _)) = part_room(config, room) else {
        return Plan {
            part_bytes_base: PART_BYTES_BASE,
            part_bytes_max: PART_BYTES_MAX,
            single_put_bytes: 0,
            equal_part_bytes: None,
        };
    };
    let share_bytes = room_bytes / PARTS_IN_ROOM;
    let whole_bytes = share_bytes - share_bytes % BLOCK_BYTES;
    let part_bytes_max = whole_bytes.clamp(PART_BYTES_MIN, PART_BYTES_MAX);
    let asked_bytes = config.s3.as_ref().map_or(0, |s3| s3.single_put_bytes);
    // As long as a part may be: objects of unknown length would else end too early.
    let equal_part_bytes = (!room.takes_unequal_parts).then_some(part_bytes_max);
    Plan {
        part_bytes_base: PART_BYTES_BASE.min(part_bytes_max),
        part_bytes_max,
        single_put_bytes: asked_bytes.min(part_bytes_max),
        equal_part_bytes,
    }
}

/// The largest chunk that fits twice beside a part into what is kept free for one upload.
fn chunk_bytes_beside_part(config: &Config, room: &SpoolRoom) -> u64 {
    let Some((room_bytes, cost)) = part_room(config, room) else { return u64::MAX };
    let beside_bytes = (room_bytes / cost).saturating_sub(plan(config, room).part_bytes_max) / 2;
    (beside_bytes - beside_bytes % CHUNK_BYTES_MIN).max(CHUNK_BYTES_MIN)
}

/// The largest upload: what is asked for, lowered to what can be cut into parts.
fn max_upload_bytes(config: &Config, room: &SpoolRoom) -> u64 {
    let asked_bytes = config.limits.max_upload_bytes;
    match config.layers.objects {
        Objects::S3 => asked_bytes.min(plan(config, room).object_bytes_max()),
        Objects::Discard | Objects::Fs => asked_bytes,
    }
}

/// Connections of one shard to the object store: what is asked for, lowered to what may be read
/// ahead for it.
pub(super) fn s3_connections(config: &Config) -> u32 {
    let asked = config.s3.as_ref().map_or(0, |s3| s3.connections_max);
    let fit = config.memory.chunk_bytes / 4 / SEND_BYTES;
    asked.min(u32::try_from(fit).unwrap_or(u32::MAX)).max(1)
}

/// Memory for what is read back to be sent.
fn send_bytes(config: &Config) -> u64 {
    match (config.layers.objects, config.layers.spool) {
        (Objects::S3, Spool::Disk | Spool::Redis) => u64::from(s3_connections(config)) * SEND_BYTES,
        _ => 0,
    }
}

/// The largest chunk that is taken: what memory allows, lowered to what the spool can hold. A small
/// limit makes chunks smaller; it never keeps a server from starting.
fn max_chunk_bytes(config: &Config, room: &SpoolRoom) -> u64 {
    let bytes = config.memory.max_chunk_bytes.min(chunk_bytes_beside_part(config, room));
    match config.layers.spool {
        Spool::Memory => bytes,
        Spool::Disk => bytes.min(spool_share_bytes(config, room)),
        Spool::Redis => {
            let share_bytes = spool_share_bytes(config, room) / REDIS_CHUNKS_MIN;
            bytes.min(REDIS_VALUE_BYTES_MAX).min(share_bytes).max(CHUNK_BYTES_MIN)
        }
    }
}

/// One store's part of the disk spool, in whole steps of the smallest chunk; or one shard's of the
/// memory of Redis.
fn spool_share_bytes(config: &Config, room: &SpoolRoom) -> u64 {
    let limit_bytes = config.limits.spool_limit_bytes;
    let share_bytes = match config.layers.spool {
        Spool::Redis => {
            let redis_bytes = room.redis_bytes.unwrap_or(u64::MAX);
            let share_bytes = limit_bytes.min(redis_bytes) / u64::from(config.shards());
            // As many of the smallest as it must hold of the largest.
            share_bytes.max(CHUNK_BYTES_MIN * REDIS_CHUNKS_MIN)
        }
        Spool::Memory | Spool::Disk => limit_bytes / u64::from(room.stores),
    };
    (share_bytes - share_bytes % CHUNK_BYTES_MIN).max(CHUNK_BYTES_MIN)
}

fn segment_bytes(config: &Config, room: &SpoolRoom) -> u64 {
    let beside_bytes = chunk_bytes_beside_part(config, room);
    let fits_bytes = SEGMENT_BYTES.min(spool_share_bytes(config, room)).min(beside_bytes);
    fits_bytes.max(max_chunk_bytes(config, room))
}

/// The edge of one shard.
pub(super) fn edge_config(config: &Config) -> EdgeConfig {
    let memory = &config.memory;
    // Bytes in windows lie in blocks, and so does what the memory spool holds and what waits for its
    // hash.
    let spooled_bytes = match config.layers.spool {
        Spool::Memory => memory.chunk_bytes,
        Spool::Disk | Spool::Redis => 0,
    };
    let held_bytes = spooled_bytes + memory.hash_bytes;
    let all_bytes = memory.pool_bytes + memory.window_bytes + memory.parked_bytes + held_bytes;
    EdgeConfig {
        pool: PoolLimits {
            block_bytes: BLOCK_BYTES as usize,
            blocks_kept: (memory.pool_bytes / BLOCK_BYTES) as usize,
            blocks_max: (all_bytes / BLOCK_BYTES) as usize,
        },
        credit: CreditLimits {
            window_budget_bytes: memory.window_bytes,
            parked_reserve_bytes: memory.parked_bytes,
            connection_ceiling_bytes: CONNECTION_CEILING_BYTES.min(memory.window_bytes),
            stream_ceiling_bytes: stream_ceiling_bytes(config).min(memory.window_bytes),
        },
        max_frame_bytes: MAX_FRAME_BYTES,
        streams_max: config.limits.streams_max,
        calls_max: (memory.call_bytes / CALL_BYTES) as usize,
        header_list_bytes_max: HEADER_LIST_BYTES_MAX,
        drain_bytes_max: DRAIN_BYTES_MAX,
        drain_ms_max: DRAIN_MS_MAX,
        keepalive_ms: KEEPALIVE_MS,
        reply_ms_max: REPLY_MS_MAX,
    }
}

fn stream_ceiling_bytes(config: &Config) -> u64 {
    match config.layers.spool {
        Spool::Redis => REDIS_STREAM_CEILING_BYTES,
        Spool::Memory | Spool::Disk => STREAM_CEILING_BYTES,
    }
}

/// What clients are offered.
pub(super) fn offer(config: &Config, room: &SpoolRoom) -> Offer {
    Offer {
        max_upload_bytes: max_upload_bytes(config, room),
        max_chunk_bytes: max_chunk_bytes(config, room),
        spooled: config.layers.gives_spooled_acks(),
        sha256: config.sha256 && config.layers.objects != Objects::Discard,
        in_s3: config.layers.objects == Objects::S3,
    }
}

#[cfg(test)]
mod tests;
