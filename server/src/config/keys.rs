//! Every setting there is: its key, and whether it is a secret.

/// One setting.
#[derive(Debug, PartialEq, Eq)]
pub struct Key {
    /// Its name in the file: `section.key`, or `key` at the top.
    pub name: &'static str,
    /// Never shown, not even in an error.
    pub secret: bool,
}

const fn open(name: &'static str) -> Key {
    Key { name, secret: false }
}

const fn secret(name: &'static str) -> Key {
    Key { name, secret: true }
}

/// All of them, in the order in which they are printed.
pub static KEYS: &[Key] = &[
    open("listen"),
    open("admin_listen"),
    open("data_dir"),
    open("cpus"),
    open("memory_limit"),
    open("shard_port_base"),
    open("coordination"),
    open("spool"),
    open("objects"),
    open("events"),
    open("metadata"),
    open("durability"),
    open("integrity.sha256"),
    open("integrity.crc"),
    open("discard.whole_chunks"),
    open("limits.max_chunk_bytes"),
    open("limits.max_upload_bytes"),
    open("limits.uploads_max"),
    open("limits.connections_max"),
    open("limits.streams_max"),
    open("limits.admission_wait"),
    open("limits.min_chunk_rate"),
    open("limits.upload_lifetime"),
    open("limits.spool_limit_bytes"),
    secret("redis.url"),
    open("redis.user"),
    secret("redis.password"),
    open("redis.ca_file"),
    open("redis.cert_file"),
    open("redis.key_file"),
    open("redis.timeout"),
    open("s3.endpoint"),
    open("s3.bucket"),
    open("s3.region"),
    secret("s3.access_key_id"),
    secret("s3.secret_access_key"),
    secret("s3.session_token"),
    open("s3.credentials"),
    open("s3.profile"),
    open("s3.path_style"),
    open("s3.ca_file"),
    open("s3.timeout"),
    open("s3.stall"),
    open("s3.connections_max"),
    open("s3.parts_in_flight"),
    open("s3.single_put_bytes"),
    open("s3.denied"),
    open("s3.storage_class"),
    open("s3.sse"),
    open("s3.sse_kms_key_id"),
    open("s3.tags"),
    open("s3.cache_control"),
    open("s3.orphans"),
    open("kafka.brokers"),
    open("kafka.registry_url"),
    secret("mysql.url"),
];

/// Finds a key by its name in the file.
pub fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// The key that was perhaps meant: the one with the fewest letters to change, if they are few.
pub fn nearest(name: &str) -> Option<&'static str> {
    let distances = KEYS.iter().map(|key| (distance(name, key.name), key.name));
    distances
        .min()
        .filter(|&(distance, _)| distance <= (name.len() / 4).min(3))
        .map(|(_, name)| name)
}

/// Letters to insert, delete or replace to get from one text to the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (above, letter) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = above + 1;
        for (column, &other) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != other);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_finds_its_key() {
        assert_eq!(nearest("memory_limits"), Some("memory_limit"));
        assert_eq!(nearest("limits.upload_max"), Some("limits.uploads_max"));
        assert_eq!((nearest("colour_of_the_sky"), nearest("foo")), (None, None));
        assert_eq!(distance("kitten", "sitting"), 3);
    }

    #[test]
    fn no_key_is_there_twice_or_too_deep() {
        for (at, key) in KEYS.iter().enumerate() {
            assert!(KEYS[at + 1..].iter().all(|other| other.name != key.name), "{}", key.name);
            assert!(key.name.split('.').count() <= 2, "{}", key.name);
        }
    }
}
