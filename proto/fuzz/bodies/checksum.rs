//! Sums of pieces combine to the sum of the whole, in any grouping, and a stored hash goes on.

use bytes::Bytes;
use sluice_proto::checksum::{ChunkSums, Crc32c, Crc64Nvme, Sha256State};

use super::Stream;

/// A sum and the length of what it is of.
type Sum = (u64, u64);

/// The fuzz body.
pub fn run(input: &[u8]) {
    let stream = Stream::of(input);
    pieces_combine(&stream);
    one_pass_says_what_two_say(&stream);
    any_sums_combine_in_any_grouping(input);
    hash_goes_on(&stream);
    if let Some(state) = Sha256State::import(input) {
        assert_eq!(state.export(), input);
    }
    assert_eq!(Crc32c::from_wire(input).map(|sum| sum.to_be_bytes().to_vec()), exactly(input, 4));
    assert_eq!(
        Crc64Nvme::from_wire(input).map(|sum| sum.to_be_bytes().to_vec()),
        exactly(input, 8)
    );
}

fn exactly(input: &[u8], len_bytes: usize) -> Option<Vec<u8>> {
    (input.len() == len_bytes).then(|| input.to_vec())
}

fn combine_32((a, len_a): Sum, (b, len_b): Sum) -> Sum {
    let narrow = |sum| u32::try_from(sum).expect("a CRC of 32 bits");
    (Crc32c::combine(narrow(a), narrow(b), len_b).into(), len_a + len_b)
}

fn combine_64((a, len_a): Sum, (b, len_b): Sum) -> Sum {
    (Crc64Nvme::combine(a, b, len_b), len_a + len_b)
}

fn pieces_combine(stream: &Stream) {
    let (mut fed_32, mut fed_64) = (Crc32c::new(), Crc64Nvme::new());
    let mut fed_both = ChunkSums::new();
    for piece in &stream.pieces {
        fed_32.update(piece);
        fed_64.update(piece);
        fed_both.update(piece);
    }
    let len = stream.whole.len() as u64;
    let (sum_32, sum_64) = (
        bitwise(&stream.whole, 0x82F6_3B78, 32),
        bitwise(&stream.whole, 0x9A6C_9329_AC4B_C9B5, 64),
    );
    assert_eq!(u64::from(fed_32.value()), sum_32);
    assert_eq!(fed_64.value(), sum_64);
    assert_eq!((u64::from(fed_both.crc32c()), fed_both.crc64nvme()), (sum_32, sum_64));
    let sum_of_32 = |piece: &Bytes| (Crc32c::of(piece).into(), piece.len() as u64);
    let sum_of_64 = |piece: &Bytes| (Crc64Nvme::of(piece), piece.len() as u64);
    for (sum_of, combine, whole) in [
        (&sum_of_32 as &dyn Fn(&Bytes) -> Sum, combine_32 as fn(Sum, Sum) -> Sum, sum_32),
        (&sum_of_64, combine_64, sum_64),
    ] {
        let sums: Vec<Sum> = stream.pieces.iter().map(sum_of).collect();
        assert_eq!(sums.iter().copied().fold((0, 0), combine), (whole, len));
        let from_behind = sums.iter().rev().fold((0, 0), |behind, &sum| combine(sum, behind));
        assert_eq!(from_behind, (whole, len));
    }
}

/// Of what is long enough for it to be one pass.
fn one_pass_says_what_two_say(stream: &Stream) {
    let long = stream.whole.repeat(1 + 10_000 / stream.whole.len().max(1));
    let both = ChunkSums::of(&long);
    assert_eq!((both.crc32c(), both.crc64nvme()), (Crc32c::of(&long), Crc64Nvme::of(&long)));
}

/// Also of sums that no bytes are known for, and of lengths that no file has.
fn any_sums_combine_in_any_grouping(input: &[u8]) {
    let Some((words, _)) = input.split_first_chunk::<48>() else { return };
    let words: Vec<u64> =
        words.as_chunks::<8>().0.iter().map(|word| u64::from_be_bytes(*word)).collect();
    // Two lengths are added.
    let sums = [0, 2, 4].map(|at| (words[at], words[at + 1] >> 2));
    let [a, b, c] = sums;
    assert_eq!(combine_64(combine_64(a, b), c), combine_64(a, combine_64(b, c)));
    let [a, b, c] = sums.map(|(sum, len)| (sum & u64::from(u32::MAX), len));
    assert_eq!(combine_32(combine_32(a, b), c), combine_32(a, combine_32(b, c)));
}

fn hash_goes_on(stream: &Stream) {
    let mut state = Sha256State::new();
    for piece in &stream.pieces {
        state.update(piece);
        let stored = state.export();
        assert!(stored.len() <= Sha256State::EXPORT_BYTES_MAX);
        state = Sha256State::import(&stored).expect("it was exported");
    }
    assert_eq!(state.bytes_hashed(), stream.whole.len() as u64);
    assert_eq!(state.finish(), Sha256State::of(&stream.whole));
}

/// A CRC of reflected bits as its definition has it, bit by bit.
fn bitwise(bytes: &[u8], polynomial: u64, bits: u32) -> u64 {
    let ones = u64::MAX >> (64 - bits);
    let sum = bytes.iter().fold(ones, |sum, &byte| {
        (0..8).fold(sum ^ u64::from(byte), |sum, _| (sum >> 1) ^ (polynomial * (sum & 1)))
    });
    sum ^ ones
}
