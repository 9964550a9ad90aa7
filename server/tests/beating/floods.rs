//! Floods: each ends its own connection, and costs nobody else anything.

use std::io::Write as _;

use sluice_proto::pb;

use crate::harness::Options;
use crate::raw::*;
use crate::scene::Scene;
use crate::wire::{Answer, Target, answer, call_head, call_head_with, chunk_head, framed};

/// Frames of a flood, at most: far more than any connection survives.
const FRAMES: u32 = 20_000;

/// Sends `frames(0)`, `frames(1)` … until the server ends the connection; its reason.
fn flood(target: &Target, frames: impl Fn(u32) -> Vec<u8>) -> Option<u32> {
    flood_of(target, FRAMES, frames)
}

fn flood_of(target: &Target, count: u32, frames: impl Fn(u32) -> Vec<u8>) -> Option<u32> {
    let mut raw = Raw::connect(target.address);
    let mut socket = raw.socket.try_clone().unwrap();
    let all: Vec<u8> = (0..count).flat_map(frames).collect();
    // What comes back must be read meanwhile, or the server would only wait.
    let writer = std::thread::spawn(move || drop(socket.write_all(&all)));
    let end = raw.end();
    drop(raw);
    writer.join().unwrap();
    end
}

#[track_caller]
fn is_told_to_calm_down(target: &Target, frames: impl Fn(u32) -> Vec<u8>) {
    assert_eq!(flood(target, frames), Some(ENHANCE_YOUR_CALM));
}

fn stream(n: u32) -> u32 {
    1 + 2 * n
}

fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())
}

fn open(stream: u32, flags: u8, method: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | flags, stream, &call_head(method))
}

/// CVE-2023-44487, with so much of a chunk that its owner is asked each time.
pub fn rapid_resets(target: &Target) {
    let head = chunk_head(&target.upload_id, 0, 1 << 20);
    is_told_to_calm_down(target, |n| {
        let began = [open(stream(n), 0, "UploadChunk"), frame(DATA, 0, stream(n), &head)];
        [began.concat(), reset(stream(n))].concat()
    });
}

/// CVE-2025-8671: resets that the server is made to send.
pub fn made_resets(target: &Target) {
    let huge = |n| frame(WINDOW_UPDATE, 0, stream(n), &0x7fff_ffff_u32.to_be_bytes());
    is_told_to_calm_down(target, |n| [open(stream(n), 0, "UploadChunk"), huge(n)].concat());
    let lying = call_head_with("UploadChunk", &[("content-length", "5")]);
    is_told_to_calm_down(target, |n| {
        let opened = frame(HEADERS, END_HEADERS, stream(n), &lying);
        [opened, frame(DATA, END_STREAM, stream(n), b"no")].concat()
    });
}

pub fn endless_header_blocks(target: &Target) {
    is_told_to_calm_down(target, |n| match n {
        0 => frame(HEADERS, 0, 1, &call_head("UploadChunk")),
        _ => frame(CONTINUATION, 0, 1, &[]),
    });
    // Long ones: bounded by the header list's limit.
    let end = flood_of(target, 500, |n| match n {
        0 => frame(HEADERS, 0, 1, &call_head("UploadChunk")),
        _ => frame(CONTINUATION, 0, 1, &block(&[("x-long", &"x".repeat(4_000))])),
    });
    assert!(matches!(end, Some(ENHANCE_YOUR_CALM | PROTOCOL_ERROR)), "{end:?}");
}

pub fn pings_and_settings(target: &Target) {
    is_told_to_calm_down(target, |_| frame(PING, 0, 0, &[0; 8]));
    is_told_to_calm_down(target, |_| frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0x10, 0]));
}

/// The same from a client that reads none of the answers.
pub fn pings_whose_answers_nobody_reads(target: &Target) {
    let mut raw = Raw::connect(target.address);
    let pings = frame(PING, 0, 0, &[0; 8]).repeat(1 << 22);
    // The server hangs up or stops reading; either way it doesn't pile up what it would say.
    let taken = raw.offer(&pings, || answers_others(target));
    assert!(taken < pings.len(), "all {taken} bytes were taken");
}

/// Waits until it has answered calls on connections of their own, some to each shard.
fn answers_others(target: &Target) {
    let upload_id = target.upload_id.clone();
    let request = framed(&pb::GetUploadStatusRequest { upload_id, ..Default::default() });
    for _ in 0..8 {
        let mut raw = Raw::connect(target.address);
        raw.open_with(1, &call_head("GetUploadStatus"));
        raw.send_all(1, &request, 16 << 10);
        assert_eq!(answer(&mut raw, 1), Answer::Ok);
    }
}

#[test]
fn resets_of_either_side() {
    check(|target| {
        rapid_resets(target);
        made_resets(target);
    });
}

#[test]
fn header_blocks_without_end() {
    check(endless_header_blocks);
}

#[test]
fn frames_that_bring_nothing() {
    check(|target| {
        pings_and_settings(target);
        pings_whose_answers_nobody_reads(target);
    });
}

fn check(attack: impl Fn(&Target) + Sync) {
    let mut scene = Scene::start(Options::default());
    scene.beside(attack);
    scene.end();
}
