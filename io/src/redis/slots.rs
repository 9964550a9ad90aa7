//! Which server of a cluster holds a key (Redis Cluster specification, "Key distribution model").

use redis::Value;

use super::error::RedisError;

const SLOTS: u16 = 16_384;

/// The slot of a key: of what stands between its first braces, if anything does.
pub fn slot_of(key: &[u8]) -> u16 {
    let tagged = key.iter().position(|&byte| byte == b'{').and_then(|open| {
        let rest = &key[open + 1..];
        let close = rest.iter().position(|&byte| byte == b'}')?;
        (close > 0).then(|| &rest[..close])
    });
    crc16(tagged.unwrap_or(key)) % SLOTS
}

/// CRC16-XMODEM.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, &byte| (crc << 8) ^ TABLE[usize::from((crc >> 8) as u8 ^ byte)])
}

const TABLE: [u16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut crc, mut bit) = ((byte as u16) << 8, 0);
        while bit < 8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

/// A range of slots and its master.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) first: u16,
    pub(super) last: u16,
    pub(super) host: String,
    pub(super) port: u16,
}

/// Reads the answer to `CLUSTER SLOTS`. A node that doesn't know its own name is `asked`.
pub(super) fn read_slots(answer: &Value, asked: &str) -> Result<Vec<Range>, RedisError> {
    let odd = || RedisError::Answer("CLUSTER SLOTS".to_owned());
    let Value::Array(ranges) = answer else { return Err(odd()) };
    ranges.iter().map(|range| read_range(range, asked).ok_or_else(odd)).collect()
}

fn read_range(range: &Value, asked: &str) -> Option<Range> {
    let Value::Array(fields) = range else { return None };
    let [first, last, Value::Array(master), ..] = fields.as_slice() else { return None };
    let host = match master.first()? {
        Value::BulkString(host) if !host.is_empty() => String::from_utf8(host.clone()).ok()?,
        _ => asked.to_owned(),
    };
    Some(Range { first: small(first)?, last: small(last)?, host, port: small(master.get(1)?)? })
}

fn small(value: &Value) -> Option<u16> {
    match value {
        Value::Int(number) => u16::try_from(*number).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(slot_of(b"foo"), 12_182);
        assert_eq!(slot_of(b"{foo}:bar"), slot_of(b"x{foo}"));
        assert_eq!(slot_of(b"{}foo"), crc16(b"{}foo") % SLOTS);
        assert_eq!(slot_of(b"a{foo"), crc16(b"a{foo") % SLOTS);
    }

    #[test]
    fn a_node_without_a_name_is_the_one_that_was_asked() {
        let master = Value::Array(vec![Value::BulkString(Vec::new()), Value::Int(7001)]);
        let range = Value::Array(vec![Value::Int(0), Value::Int(16_383), master]);
        let ranges = read_slots(&Value::Array(vec![range]), "10.0.0.1").unwrap();
        let host = "10.0.0.1".to_owned();
        assert_eq!(ranges, [Range { first: 0, last: 16_383, host, port: 7001 }]);
        assert!(read_slots(&Value::Okay, "").is_err());
    }
}
