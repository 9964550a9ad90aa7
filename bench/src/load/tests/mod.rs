//! Whole loads against a server in this process. What they take isn't asked: only what is counted.

mod server;

use std::time::Duration;

use server::{Faults, Seen, Server};

use crate::job::{Ack, Job, Load, Offered, Order, Route, Share, Size, Time};
use crate::load::{Kind, Mark, run};
use crate::outcome::Outcome;
use sluice_proto::pb::AckLevel;

const SPEAKERS: [Kind; 2] = [Kind::Own, Kind::Tonic];

/// 3 MB in all, in uploads of seven chunks, the last a short one.
fn load() -> Load {
    Load {
        connections: 2,
        uploads: 3,
        upload_size: Size(200_000),
        chunk_size: Size(30_000),
        parallel: 2,
        warm_up: Time(Duration::from_millis(20)),
        duration: Time(Duration::from_secs(60)),
        total_size: Some(Size(3_000_000)),
        ..Default::default()
    }
}

fn put_on(kind: Kind, server: &Server, load: Load) -> Outcome {
    put_on_shards(kind, server, load, 1)
}

fn put_on_shards(kind: Kind, server: &Server, load: Load, shards: usize) -> Outcome {
    let extra = [("shards".to_owned(), shards.to_string())].into();
    let job = Job { address: server.address(), load, extra };
    run(kind, &job, &mut |_| {})
}

fn verified(outcome: &Outcome, seen: &Seen) {
    assert_eq!(outcome.failed, None);
    assert_eq!((outcome.acks_lost, outcome.duplicates), (0, 0));
    let complete = seen.uploads.values().filter(|upload| upload.is_complete).count() as u64;
    assert_eq!((outcome.uploads, outcome.sizes_verified), (complete, complete));
    assert!(complete > 0);
}

#[test]
fn what_is_sent_comes_in_whole_and_is_verified() {
    for kind in SPEAKERS {
        let server = Server::start(Faults::default());
        let outcome = put_on(kind, &server, load());
        let seen = server.seen();
        verified(&outcome, &seen);
        assert_eq!(outcome.checksums_verified, outcome.uploads);
        assert!(outcome.bytes >= 3_000_000 && outcome.chunks >= 100, "{outcome:?}");
        assert_eq!(seen.unsummed, 0);
        let (acks, ending) = (outcome.ack.read().unwrap(), outcome.ending_ack.read().unwrap());
        assert_eq!(acks.len() + ending.len(), outcome.chunks);
        for upload in seen.uploads.values() {
            assert_eq!(upload.request.expected_size_bytes, Some(200_000));
            assert_eq!(upload.request.chunk_size_bytes, 30_000);
            assert_eq!((upload.acked.len(), upload.is_last.as_slice()), (7, [].as_slice()));
        }
    }
}

#[test]
fn a_frame_is_no_larger_than_the_load_says_nor_smaller_than_need_be() {
    let server = Server::start(Faults::default());
    put_on(Kind::Own, &server, Load { frame_size: Some(Size(4_096)), ..load() });
    assert_eq!(server.seen().frame_bytes_max, 4_096);
    let server = Server::start(Faults::default());
    let sizes = (Size(400_000), Size(200_000));
    put_on(Kind::Own, &server, Load { upload_size: sizes.0, chunk_size: sizes.1, ..load() });
    // All of a chunk, with what stands before its data, in one.
    assert!((200_010..200_100).contains(&server.seen().frame_bytes_max));
}

#[test]
fn the_order_the_level_and_what_is_left_out_are_as_the_load_says() {
    let server = Server::start(Faults::default());
    let outcome = put_on(
        Kind::Own,
        &server,
        Load {
            order: Order::LastFirst,
            ack: Ack::Received,
            promise: false,
            checksums: false,
            parallel: 1,
            ..load()
        },
    );
    let seen = server.seen();
    verified(&outcome, &seen);
    assert_eq!(seen.summed, 0);
    for upload in seen.uploads.values() {
        let numbers: Vec<_> = upload.acked.iter().map(|(number, _)| *number).collect();
        assert_eq!(
            (numbers.as_slice(), upload.is_last.as_slice()),
            ([6, 0, 1, 2, 3, 4, 5].as_slice(), [6].as_slice())
        );
        assert_eq!(upload.request.ack_level(), AckLevel::Received);
        assert_eq!(
            (upload.request.expected_size_bytes, upload.request.chunk_size_bytes),
            (None, 0)
        );
    }
}

#[test]
fn uploads_of_several_sizes_come_by_their_weight() {
    let server = Server::start(Faults::default());
    let share = |upload, chunk, weight| Share {
        upload_size: Size(upload),
        chunk_size: Size(chunk),
        weight,
    };
    let mix = vec![share(10_000, 1_000, 3), share(50_000, 50_000, 1)];
    let outcome = put_on(Kind::Own, &server, Load { mix, ..load() });
    let seen = server.seen();
    verified(&outcome, &seen);
    let of = |bytes| {
        seen.uploads
            .values()
            .filter(|upload| upload.request.expected_size_bytes == Some(bytes))
            .count()
    };
    assert!(of(10_000) > of(50_000) && of(50_000) > 0);
}

#[test]
fn what_is_refused_is_sent_again_and_counted() {
    for kind in SPEAKERS {
        let server = Server::start(Faults { refuse_every: Some(5), ..Default::default() });
        let outcome = put_on(kind, &server, load());
        let seen = server.seen();
        verified(&outcome, &seen);
        assert!(seen.refused > 0 && outcome.refusals["BUDGET"] <= seen.refused);
        assert_eq!(outcome.retries, outcome.refusals["BUDGET"]);
        assert_eq!(outcome.refusals.len(), 1);
    }
}

#[test]
fn an_answer_that_never_comes_is_lost_and_the_run_doesnt_count() {
    let lose = || Faults { lose: Some(4), ..Default::default() };
    let cut = || Faults { cut: Some(4), ..Default::default() };
    let fail = |kind, faults| {
        let server = Server::start(faults);
        let outcome = put_on(kind, &server, load());
        assert_eq!(outcome.acks_lost, 1, "{outcome:?}");
        assert!(outcome.failed.is_some());
    };
    // Each waits until nothing can come any more.
    std::thread::scope(|scope| {
        for kind in SPEAKERS {
            scope.spawn(move || fail(kind, lose()));
            scope.spawn(move || fail(kind, cut()));
        }
    });
}

#[test]
fn a_wrong_object_fails_the_run_and_one_without_a_sum_doesnt() {
    for faults in [
        Faults { bytes_too_many: 1, ..Default::default() },
        Faults { wrong_sum: true, ..Default::default() },
    ] {
        let server = Server::start(faults);
        let outcome = put_on(Kind::Own, &server, load());
        assert!(outcome.failed.unwrap().contains("is stored as"));
    }
    let server = Server::start(Faults { no_sum: true, ..Default::default() });
    let outcome = put_on(Kind::Own, &server, load());
    verified(&outcome, &server.seen());
    assert_eq!(outcome.checksums_verified, 0);
}

#[test]
fn chunks_go_where_the_load_says() {
    for kind in SPEAKERS {
        for route in [Route::Owner, Route::Shared, Route::Wrong] {
            let server = Server::start(Faults::default());
            let outcome = put_on(kind, &server, Load { route, ..load() });
            let seen = server.seen();
            verified(&outcome, &seen);
            for upload in seen.uploads.values() {
                let right = match route {
                    Route::Owner => upload.owner,
                    Route::Shared => server::SHARED,
                    Route::Wrong => 1 - upload.owner,
                };
                assert!(upload.acked.iter().all(|&(_, port)| port == right), "{route:?}");
            }
        }
    }
}

#[test]
fn without_another_owner_there_is_no_wrong_one() {
    let server = Server::start(Faults { one_owner: true, ..Default::default() });
    let outcome = put_on(Kind::Own, &server, Load { route: Route::Wrong, ..load() });
    assert!(outcome.failed.unwrap().contains("2 owners are needed, and 1 were found"));
}

#[test]
fn uploads_are_spread_over_all_shards_alike_and_opened_where_they_belong() {
    let server = Server::start(Faults::default());
    let outcome = put_on_shards(Kind::Own, &server, load(), 2);
    let seen = server.seen();
    verified(&outcome, &seen);
    let of = |owner| {
        let sent = |upload: &&server::Upload| upload.owner == owner && upload.is_complete;
        seen.uploads.values().filter(sent).count()
    };
    assert!(of(0).abs_diff(of(1)) <= 3, "{} and {}", of(0), of(1));
}

#[test]
fn idle_uploads_are_opened_between_two_marks_and_before_the_measured_time() {
    let server = Server::start(Faults::default());
    let load = Load { idle_uploads: 150, ..load() };
    let job = Job { address: server.address(), load, extra: Default::default() };
    let mut marks = Vec::new();
    let outcome = run(Kind::Own, &job, &mut |mark| {
        marks.push((mark, server.seen().uploads.len()));
    });
    assert_eq!(marks[..2], [(Mark::BeforeIdle, 0), (Mark::Idle, 150)]);
    let names: Vec<_> = marks.iter().map(|(mark, _)| mark.name()).collect();
    assert_eq!(names, ["before-idle", "idle", "begin", "end"]);
    let seen = server.seen();
    verified(&outcome, &seen);
    assert_eq!(seen.uploads.values().filter(|upload| upload.acked.is_empty()).count(), 150);
}

fn open_loop(chunks_per_second: u64, duration_ms: u64) -> Load {
    Load {
        duration: Time(Duration::from_millis(duration_ms)),
        total_size: None,
        offered: Some(Offered::Bytes(Size(chunks_per_second * 30_000))),
        // All chunks alike: then their number is known.
        upload_size: Size(120_000),
        ..load()
    }
}

#[test]
fn an_open_loop_offers_what_is_due_and_times_each() {
    for kind in SPEAKERS {
        let server = Server::start(Faults::default());
        let outcome = put_on(kind, &server, open_loop(200, 250));
        let seen = server.seen();
        verified(&outcome, &seen);
        assert_eq!(outcome.offered_chunks, 50);
        let acks = outcome.ack.read().unwrap().len() + outcome.ending_ack.read().unwrap().len();
        assert_eq!(acks, 50);
        let begun = seen.uploads.values().filter(|upload| !upload.acked.is_empty());
        assert!(begun.clone().all(|upload| upload.is_complete));
        assert!(begun.count() >= 13);
    }
}

#[test]
fn an_open_loop_that_offers_too_much_times_all_of_it_from_when_it_was_due() {
    // Takes 200 chunks a second at most, and is offered 800.
    let faults = Faults { slow: Duration::from_millis(5), ..Default::default() };
    let server = Server::start(faults);
    let outcome = put_on(Kind::Own, &server, open_loop(800, 100));
    verified(&outcome, &server.seen());
    assert_eq!(outcome.offered_chunks, 80);
    assert!(outcome.chunks < 40);
    let (acks, ending) = (outcome.ack.read().unwrap(), outcome.ending_ack.read().unwrap());
    assert_eq!(acks.len() + ending.len(), 80);
    // The last was due when 20 were done at most, and 60 were before it.
    assert!(acks.max().max(ending.max()) > 250_000);
}

#[test]
fn an_open_loop_that_loses_an_answer_ends_all_the_same() {
    let server = Server::start(Faults { lose: Some(2), ..Default::default() });
    let outcome = put_on(Kind::Own, &server, open_loop(200, 100));
    assert_eq!(outcome.acks_lost, 1);
    assert!(outcome.failed.unwrap().contains("1 acks never came"));
}
