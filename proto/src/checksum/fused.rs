//! Both CRCs by one pass, for CPUs with carry-less multiplication of 64 bytes at once.
//!
//! Folding 64 bytes of a CRC takes two such multiplications, and AMD's cores begin one every other
//! cycle: that alone is what two passes cost. Beside it those cores sum 8 bytes a cycle by their
//! instruction for CRC-32C. So all bytes are folded for CRC-64/NVME, a third of them also for
//! CRC-32C, and the instruction takes the other two thirds, which keeps both units busy.
//!
//! # Folding
//!
//! Bytes are a polynomial: bit 0 of the first byte has the highest power. What comes `d` bits
//! before a place can be put there if it is multiplied by x^d; modulo the CRC's polynomial x^d fits
//! in 64 bits. The accumulators stand for the bytes read so far: a message of 192 bytes with the
//! same sum, that ends where reading stopped.

use std::{arch::x86_64::*, sync::LazyLock};

use super::{CRC32C, CRC64NVME, ChunkSums, chunk_sums::crc64nvme_after, combine::Combiner};

const VECTOR_BYTES: usize = 64;
/// Accumulators of a CRC: enough that none waits for its own last multiplication.
const ACCUMULATORS: usize = 3;
const ROUND_BYTES: usize = ACCUMULATORS * VECTOR_BYTES;
/// So many that the compiler keeps them a loop: it would sort one long run of instructions by kind,
/// and then neither unit waits for the other in time.
const STEPS: usize = 4;

/// What the instruction sums of each stream in a step: it can begin one every cycle, and has the
/// answer after three, so three streams keep it busy.
const STREAM_STEP_BYTES: usize = 128;
const STREAM_BYTES: usize = STEPS * STREAM_STEP_BYTES;
const FOLDED_BYTES: usize = STEPS * ROUND_BYTES;
/// A block: three streams that the instruction sums side by side, and bytes that are folded.
const BLOCK_BYTES: usize = 3 * STREAM_BYTES + FOLDED_BYTES;
const STEP_VECTORS: usize = BLOCK_BYTES / VECTOR_BYTES / STEPS;
/// Putting the accumulators together costs more than one pass saves on fewer bytes.
const BYTES_MIN: usize = 2 * BLOCK_BYTES;

/// Feeds all bytes, or says that it isn't for them or for this CPU.
#[must_use]
pub(super) fn update(sums: &mut ChunkSums, bytes: &[u8]) -> bool {
    let suits = bytes.len() >= BYTES_MIN && *SUITS;
    if suits {
        // SAFETY: SUITS says that this CPU has the features.
        *sums = unsafe { updated(*sums, bytes) };
    }
    suits
}

/// By the published tables Intel's cores begin such a multiplication every cycle, so two passes cost
/// no more there; on others this wasn't measured.
static SUITS: LazyLock<bool> = LazyLock::new(|| {
    let vendor = __cpuid(0);
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("vpclmulqdq")
        && is_x86_feature_detected!("pclmulqdq")
        && is_x86_feature_detected!("sse4.2")
        && [vendor.ebx, vendor.edx, vendor.ecx].map(u32::to_le_bytes).as_flattened()
            == b"AuthenticAMD"
});

#[target_feature(enable = "avx512f,vpclmulqdq,pclmulqdq,sse4.2")]
fn updated(sums: ChunkSums, bytes: &[u8]) -> ChunkSums {
    let (blocks, rest) = bytes.as_chunks();
    let (rounds, rest) = rest.as_chunks::<ROUND_BYTES>();
    let (vectors, rest) = rest.as_chunks();
    let mut folded = fold_blocks(sums, blocks);
    let [near32, near64] = keys_over::<ROUND_BYTES>();
    for round in rounds {
        for (at, vector) in round.as_chunks().0.iter().enumerate() {
            folded.crc32c[at] = fold(folded.crc32c[at], near32, load(vector));
            folded.crc64nvme[at] = fold(folded.crc64nvme[at], near64, load(vector));
        }
    }
    let [next32, next64] = keys_over::<VECTOR_BYTES>();
    let (mut one32, mut one64) = (join(folded.crc32c, next32), join(folded.crc64nvme, next64));
    for vector in vectors {
        one32 = fold(one32, next32, load(vector));
        one64 = fold(one64, next64, load(vector));
    }
    ChunkSums {
        crc32c: crc32c_after(crc32c_after(0, &store(one32)), rest),
        crc64nvme: crc64nvme_after(0, [&store(one64), rest]),
    }
}

/// Accumulators: a message of 192 bytes each, whose sum, from a register of zero, is that of all
/// bytes read.
struct Folded {
    crc32c: [__m512i; ACCUMULATORS],
    crc64nvme: [__m512i; ACCUMULATORS],
}

#[target_feature(enable = "avx512f,vpclmulqdq,pclmulqdq,sse4.2")]
fn fold_blocks(sums: ChunkSums, blocks: &[[u8; BLOCK_BYTES]]) -> Folded {
    let [near32, near64] = keys_over::<ROUND_BYTES>();
    let [over_streams32, _] = keys_over::<{ ROUND_BYTES + 3 * STREAM_BYTES }>();
    let zeroes = [_mm512_setzero_si512(); ACCUMULATORS];
    let mut folded = Folded { crc32c: zeroes, crc64nvme: zeroes };
    // Registers go into the first bytes after them.
    let mut register32 = u64::from(sums.crc32c);
    let mut register64 = at_begin(sums.crc64nvme);
    for block in blocks {
        let (vectors, _) = block.as_chunks::<VECTOR_BYTES>();
        let (_, behind_streams) = vectors.split_at(3 * STREAM_BYTES / VECTOR_BYTES);
        let mut streams = [register32, 0, 0];
        let mut keys32 = over_streams32;
        for step in 0..STEPS {
            for (at, folded) in folded.crc32c.iter_mut().enumerate() {
                *folded = fold(*folded, keys32, load(&behind_streams[step * ACCUMULATORS + at]));
            }
            for at in 0..STEP_VECTORS {
                let vector = load(&vectors[step * STEP_VECTORS + at]);
                let vector = _mm512_xor_si512(vector, register64);
                let folded = &mut folded.crc64nvme[at % ACCUMULATORS];
                *folded = fold(*folded, near64, vector);
                register64 = _mm512_setzero_si512();
            }
            for at in (step * STREAM_STEP_BYTES..(step + 1) * STREAM_STEP_BYTES).step_by(8) {
                for (nth, stream) in streams.iter_mut().enumerate() {
                    *stream = _mm_crc32_u64(*stream, word(block, nth * STREAM_BYTES + at));
                }
            }
            keys32 = near32;
        }
        let last = &mut folded.crc32c[ACCUMULATORS - 1];
        *last = _mm512_xor_si512(*last, at_end(moved_to_end(streams)));
        register32 = 0;
    }
    folded
}

/// Puts `folded` where `vector` is; both keys are for that distance.
#[inline]
#[target_feature(enable = "avx512f,vpclmulqdq")]
fn fold(folded: __m512i, keys: __m512i, vector: __m512i) -> __m512i {
    const XOR_OF_THREE: i32 = 0b1001_0110;
    let first_halves = _mm512_clmulepi64_epi128(folded, keys, 0x00);
    let second_halves = _mm512_clmulepi64_epi128(folded, keys, 0x11);
    _mm512_ternarylogic_epi64(first_halves, second_halves, vector, XOR_OF_THREE)
}

/// One vector of all accumulators.
#[inline]
#[target_feature(enable = "avx512f,vpclmulqdq")]
fn join([first, second, third]: [__m512i; ACCUMULATORS], keys: __m512i) -> __m512i {
    fold(fold(first, keys, second), keys, third)
}

/// The register that is `register` before these bytes, after them.
#[inline]
#[target_feature(enable = "sse4.2")]
fn crc32c_after(register: u32, bytes: &[u8]) -> u32 {
    let (words, rest) = bytes.as_chunks();
    let after_word = |sum, word: &[u8; 8]| _mm_crc32_u64(sum, u64::from_le_bytes(*word));
    let after_words = words.iter().fold(register.into(), after_word) as u32;
    rest.iter().fold(after_words, |sum, byte| _mm_crc32_u8(sum, *byte))
}

/// The registers of the streams, as the last 8 bytes of a block of zeroes with the same sum.
#[inline]
#[target_feature(enable = "pclmulqdq")]
fn moved_to_end(streams: [u64; 3]) -> u64 {
    const KEYS: [u64; 3] = [
        stream_key(2 * STREAM_BYTES + FOLDED_BYTES),
        stream_key(STREAM_BYTES + FOLDED_BYTES),
        stream_key(FOLDED_BYTES),
    ];
    let mut moved = _mm_setzero_si128();
    for (stream, key) in streams.into_iter().zip(KEYS) {
        let (stream, key) = (_mm_cvtsi64_si128(stream as i64), _mm_cvtsi64_si128(key as i64));
        moved = _mm_xor_si128(moved, _mm_clmulepi64_si128(stream, key, 0));
    }
    _mm_cvtsi128_si64(moved) as u64
}

#[inline]
#[target_feature(enable = "avx512f")]
fn at_begin(first: u64) -> __m512i {
    _mm512_set_epi64(0, 0, 0, 0, 0, 0, 0, first as i64)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn at_end(last: u64) -> __m512i {
    _mm512_set_epi64(last as i64, 0, 0, 0, 0, 0, 0, 0)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load(bytes: &[u8; VECTOR_BYTES]) -> __m512i {
    // SAFETY: it reads 64 bytes, at any alignment, and there are 64.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store(vector: __m512i) -> [u8; VECTOR_BYTES] {
    let mut bytes = [0; VECTOR_BYTES];
    // SAFETY: it writes 64 bytes, at any alignment, and there are 64.
    unsafe { _mm512_storeu_si512(bytes.as_mut_ptr().cast(), vector) };
    bytes
}

#[inline]
fn word(block: &[u8; BLOCK_BYTES], at: usize) -> u64 {
    u64::from_le_bytes(*block[at..].first_chunk().expect("words are within the block"))
}

/// What vectors are folded by over so many bytes, for CRC-32C and for CRC-64/NVME.
#[inline]
#[target_feature(enable = "avx512f")]
fn keys_over<const BYTES: usize>() -> [__m512i; 2] {
    const { [fold_keys(&CRC32C, BYTES), fold_keys(&CRC64NVME, BYTES)] }
        .map(|[first, second]| _mm512_broadcast_i32x4(_mm_set_epi64x(second as i64, first as i64)))
}

/// What both halves of 16 bytes are multiplied by to be put so many bytes further on. A product of
/// reflected numbers has 127 bits and sits at the low end of 128: it is x too high, hence the -1.
const fn fold_keys<const BITS: u32>(crc: &Combiner<BITS>, bytes: usize) -> [u64; 2] {
    let bits = bytes as u32 * 8;
    // The highest of 64 bits is x^0.
    [crc.power(bits + 64 - 1) << (64 - BITS), crc.power(bits - 1) << (64 - BITS)]
}

/// What a register is multiplied by to stand so many bytes further on, in the 8 bytes before that
/// place. It belongs to the 4 bytes after its own place, hence the -32.
const fn stream_key(bytes: usize) -> u64 {
    CRC32C.power(bytes as u32 * 8 - 32 - 1)
}
