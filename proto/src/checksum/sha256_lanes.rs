//! SHA-256 of several messages at once, for CPUs with instructions for it.
//!
//! The rounds are those of FIPS 180-4, 6.2.2, four at a time by two `SHA256RNDS2`, with the message
//! schedule by `SHA256MSG1` and `SHA256MSG2`. What the lanes do in a step doesn't depend on each
//! other, so a lane's instructions run while another's have no answer yet.

use std::arch::x86_64::*;

use sha2::block_api::compress256;

use super::sha256::{Block, LANES_MAX, Lane, Words};

/// Steps of a block: each does four rounds.
const STEPS: usize = 16;

/// Compresses all lanes' blocks, or says that this CPU can't.
#[must_use]
pub(super) fn compress_each(lanes: &mut [Lane<'_>]) -> bool {
    let can = is_x86_feature_detected!("sha")
        && is_x86_feature_detected!("ssse3")
        && is_x86_feature_detected!("sse4.1")
        && is_x86_feature_detected!("avx");
    if can {
        // The longest first, so those that still have blocks are always the first ones.
        lanes.sort_unstable_by_key(|(_, blocks)| std::cmp::Reverse(blocks.len()));
        for width in (2..=lanes.len().min(LANES_MAX)).rev() {
            // SAFETY: the features were asked for.
            unsafe { shorten(&mut lanes[..width]) };
        }
        if let Some((words, blocks)) = lanes.first_mut() {
            compress256(words, blocks);
        }
    }
    can
}

/// Compresses as many blocks of each lane as the last, the shortest, has.
#[target_feature(enable = "sha,ssse3,sse4.1,avx")]
fn shorten(lanes: &mut [Lane<'_>]) {
    match lanes {
        [a, b] => compress([a, b]),
        [a, b, c] => compress([a, b, c]),
        [a, b, c, d] => compress([a, b, c, d]),
        _ => unreachable!("two lanes or more, and LANES_MAX at most"),
    }
}

#[target_feature(enable = "sha,ssse3,sse4.1,avx")]
fn compress<const LANES: usize>(mut lanes: [&mut Lane<'_>; LANES]) {
    let count = lanes[LANES - 1].1.len();
    let now = lanes.each_mut().map(|lane| {
        let (now, later) = lane.1.split_at(count);
        lane.1 = later;
        now
    });
    let mut states = lanes.each_ref().map(|lane| load_state(lane.0));
    for at in 0..count {
        let before = states;
        let mut schedules = now.map(|blocks| load_block(&blocks[at]));
        for step in 0..STEPS {
            let constants = load(&CONSTANTS[step]);
            for (state, schedule) in states.iter_mut().zip(&mut schedules) {
                if step >= schedule.len() {
                    expand(schedule, step);
                }
                four_rounds(state, _mm_add_epi32(schedule[step % schedule.len()], constants));
            }
        }
        for (state, before) in states.iter_mut().zip(before) {
            state.abef = _mm_add_epi32(state.abef, before.abef);
            state.cdgh = _mm_add_epi32(state.cdgh, before.cdgh);
        }
    }
    for (lane, state) in lanes.iter_mut().zip(states) {
        store_state(lane.0, state);
    }
}

/// The eight words in the order that the instructions want, each vector's highest word first.
#[derive(Clone, Copy)]
struct State {
    abef: __m128i,
    cdgh: __m128i,
}

#[target_feature(enable = "sha")]
fn four_rounds(state: &mut State, words: __m128i) {
    state.cdgh = _mm_sha256rnds2_epu32(state.cdgh, state.abef, words);
    let upper = _mm_shuffle_epi32(words, 0b00_00_11_10);
    state.abef = _mm_sha256rnds2_epu32(state.abef, state.cdgh, upper);
}

/// Puts the schedule's next four words where its oldest four were.
#[target_feature(enable = "sha,ssse3")]
fn expand(schedule: &mut [__m128i; 4], step: usize) {
    let [oldest, second, third, newest] = [0, 1, 2, 3].map(|nth| schedule[(step + nth) % 4]);
    let sums = _mm_sha256msg1_epu32(oldest, second);
    let sums = _mm_add_epi32(sums, _mm_alignr_epi8(newest, third, 4));
    schedule[step % 4] = _mm_sha256msg2_epu32(sums, newest);
}

#[target_feature(enable = "ssse3")]
fn load_block(block: &Block) -> [__m128i; 4] {
    // Words are big-endian on the wire.
    let swapped = _mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203);
    let (words, _) = block.as_chunks::<16>();
    std::array::from_fn(|nth| _mm_shuffle_epi8(load_bytes(&words[nth]), swapped))
}

#[target_feature(enable = "ssse3,sse4.1")]
fn load_state(words: &Words) -> State {
    let [a, b, c, d, e, f, g, h] = words.map(u32::cast_signed);
    State { abef: _mm_set_epi32(a, b, e, f), cdgh: _mm_set_epi32(c, d, g, h) }
}

#[target_feature(enable = "sse4.1")]
fn store_state(words: &mut Words, State { abef, cdgh }: State) {
    *words = [
        _mm_extract_epi32(abef, 3),
        _mm_extract_epi32(abef, 2),
        _mm_extract_epi32(cdgh, 3),
        _mm_extract_epi32(cdgh, 2),
        _mm_extract_epi32(abef, 1),
        _mm_extract_epi32(abef, 0),
        _mm_extract_epi32(cdgh, 1),
        _mm_extract_epi32(cdgh, 0),
    ]
    .map(i32::cast_unsigned);
}

#[target_feature(enable = "sse2")]
fn load(words: &[u32; 4]) -> __m128i {
    // SAFETY: 16 bytes, read without asking for alignment.
    unsafe { _mm_loadu_si128(words.as_ptr().cast()) }
}

#[target_feature(enable = "sse2")]
fn load_bytes(bytes: &[u8; 16]) -> __m128i {
    // SAFETY: as above.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

/// K of FIPS 180-4, 4.2.2: the first 32 bits of the fractional parts of the cube roots of the first
/// 64 primes.
static CONSTANTS: [[u32; 4]; STEPS] = [
    [0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5],
    [0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5],
    [0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3],
    [0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174],
    [0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc],
    [0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da],
    [0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7],
    [0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967],
    [0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13],
    [0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85],
    [0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3],
    [0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070],
    [0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5],
    [0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3],
    [0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208],
    [0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2],
];
