//! Redis as a client of ours sees it, with real servers.

mod redis_support;

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{join, join_all};
use redis_support::{
    WITHIN, answered, ask, client, command, put, put_over, run, text, until_answered,
};
use sluice_io::{
    reactor::timer,
    redis::{Client, RedisError, Script, Value},
};
use sluice_test_servers::{Redis, RedisOptions};

#[test]
fn each_caller_gets_its_own_answer() {
    let redis = Redis::start(RedisOptions { password: "p:@1", ..RedisOptions::default() });
    let url = format!("redis://:p%3a%401@{}", redis.address());
    run(async move || {
        let client = client(&url, WITHIN);
        client.connect().await.unwrap();
        assert!(!client.is_cluster());
        let asking = (0..2_000).map(|number| {
            let (client, number) = (client.clone(), number.to_string());
            async move {
                let key = format!("k{number}");
                assert_eq!(ask(&client, &["SET", &key, &number]).await.unwrap(), Value::Okay);
                assert_eq!(ask(&client, &["GET", &key]).await.unwrap(), text(&number));
            }
        });
        join_all(asking).await;
        let named = client.run("", &command(&["CLIENT", "GETNAME"])).await.unwrap();
        assert_eq!(named, text("sluice-test"));
    });
    assert_eq!(redis.info("connected_clients"), "1", "that is who asks");
}

#[test]
fn a_wrong_password_is_told_without_it() {
    let redis = Redis::start(RedisOptions { password: "right", ..RedisOptions::default() });
    let address = redis.address();
    run(async move || {
        for url in [format!("redis://:secret@{address}"), format!("redis://{address}")] {
            let refused = client(&url, WITHIN).connect().await.unwrap_err();
            let told = refused.to_string();
            assert!(told.contains("WRONGPASS") || told.contains("NOAUTH"), "{told}");
            assert!(!told.contains("secret"), "{told}");
        }
    });
}

#[test]
fn what_got_no_answer_in_time_leaves_none_to_the_next() {
    let redis = Redis::start(RedisOptions::default());
    let url = redis.url();
    run(async move || {
        let hasty = client(&url, Duration::from_millis(200));
        answered(&hasty, &["SET", "a", "1"]).await;
        redis.freeze();
        let waits = join_all((0..20).map(|_| ask(&hasty, &["GET", "a"])));
        for ended in waits.await {
            assert_eq!(ended.unwrap_err(), RedisError::Deadline { within_ms: 200 });
        }
        // A connection is made, though nobody answers on it.
        let ended = ask(&hasty, &["GET", "a"]).await.unwrap_err();
        assert_eq!(ended, RedisError::Deadline { within_ms: 200 });
        redis.thaw();
        assert_eq!(answered(&hasty, &["ECHO", "b"]).await, text("b"));
        assert_eq!(answered(&hasty, &["GET", "a"]).await, text("1"));
        // One that is given up isn't answered to anybody.
        let given_up = ask(&hasty, &["GET", "a"]);
        assert!(timer::deadline(given_up, Duration::ZERO).await.is_err());
        assert_eq!(answered(&hasty, &["ECHO", "c"]).await, text("c"));
    });
}

#[test]
fn after_a_restart_it_goes_on_and_scripts_are_told_again() {
    let mut redis = Redis::start(RedisOptions::default());
    let url = redis.url();
    run(async move || {
        let client = client(&url, WITHIN);
        let script = Script::new("#!lua flags=allow-oom\nreturn redis.call('INCR', KEYS[1])");
        let call = script.by_name(&["k"]);
        for count in 1..3 {
            let counted = client.run_script("k", &script, &call).await.unwrap();
            assert_eq!(counted, Value::Int(count));
        }
        redis.shut_down();
        let gone = client.run_script("k", &script, &call).await.unwrap_err();
        assert!(matches!(gone, RedisError::Connection(_)), "{gone}");
        redis.restart();
        let again = until_answered(async || client.run_script("k", &script, &call).await).await;
        assert_eq!(again, Value::Int(3));
        redis.ask(&["script", "flush"]);
        assert_eq!(client.run_script("k", &script, &call).await.unwrap(), Value::Int(4));
        // A third time by its name alone.
        assert_eq!(client.run("k", &call).await.unwrap(), Value::Int(5));
    });
}

#[test]
fn a_full_redis_takes_no_more_but_what_may_exceed() {
    let redis = Redis::start(RedisOptions { max_memory: "3mb", ..RedisOptions::default() });
    let url = redis.url();
    run(async move || {
        let client = client(&url, WITHIN);
        let body = "x".repeat(64 << 10);
        let fill = async |number: u32| ask(&client, &["SET", &format!("k{number}"), &body]).await;
        let mut number = 0;
        let full = loop {
            number += 1;
            assert!(number < 100, "it is never full");
            if let Err(full) = fill(number).await {
                break full;
            }
        };
        assert!(matches!(full, RedisError::Full(_)), "{full}");
        let script = Script::new("#!lua flags=allow-oom\nreturn redis.call('SET', KEYS[1], 1)");
        let call = script.by_name(&["record"]);
        assert_eq!(client.run_script("record", &script, &call).await.unwrap(), Value::Okay);
        ask(&client, &["UNLINK", "k1", "k2", "k3", "k4"]).await.unwrap();
        fill(1).await.unwrap();
    });
}

#[test]
fn what_it_cant_just_now_is_told_apart_from_what_it_refuses() {
    let redis = Redis::start(RedisOptions::default());
    let url = redis.url();
    run(async move || {
        // What comes behind a script on its connection isn't looked at before it ends.
        let (client, other) = (client(&url, WITHIN), client(&url, WITHIN));
        other.connect().await.unwrap();
        ask(&client, &["SET", "k", "v"]).await.unwrap();
        let refused = ask(&client, &["INCR", "k"]).await.unwrap_err();
        assert!(matches!(refused, RedisError::Server { .. }), "{refused}");
        redis.ask(&["config", "set", "busy-reply-threshold", "1"]);
        let spin = async {
            let endless = "while true do end";
            drop(ask(&client, &["EVAL", endless, "0"]).await);
        };
        let meanwhile = async {
            // From some time on it spins.
            let busy = loop {
                match ask(&other, &["GET", "k"]).await {
                    Ok(_) => timer::sleep(Duration::from_millis(10)).await,
                    Err(busy) => break busy,
                }
            };
            redis.ask(&["script", "kill"]);
            busy
        };
        let ((), busy) = join(spin, meanwhile).await;
        let RedisError::NotNow { code, .. } = &busy else { panic!("{busy}") };
        assert_eq!(code, "BUSY");
        redis.ask(&["replicaof", "127.0.0.1", "1"]);
        let read_only = ask(&client, &["SET", "k", "w"]).await.unwrap_err();
        assert!(matches!(&read_only, RedisError::NotNow { code, .. } if code == "READONLY"));
        redis.ask(&["replicaof", "no", "one"]);
        ask(&client, &["SET", "k", "w"]).await.unwrap();
    });
}

/// A body of so many pieces, of different lengths.
fn pieces(count: usize) -> Vec<Bytes> {
    (0..count).map(|nth| Bytes::from(vec![nth as u8; 1 + nth * 7_919 % 300_000])).collect()
}

async fn read_back(client: &Client, key: &str) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        let slice = client.get_range(key, all.len() as u64, 1 << 20).await.unwrap();
        all.extend_from_slice(&slice);
        if slice.len() < 1 << 20 {
            return all;
        }
    }
}

#[test]
fn bodies_go_beside_commands_and_come_back_in_slices() {
    let redis = Redis::start(RedisOptions { password: "p", ..RedisOptions::default() });
    let url = redis.url();
    run(async move || {
        let client = client(&url, WITHIN);
        let all: Vec<_> = (0..20).map(|nth| pieces(nth * 5)).collect();
        let keys: Vec<_> = (0..20).map(|nth| format!("body{nth}")).collect();
        let putting = all.iter().zip(&keys).map(|(pieces, key)| put(&client, key, pieces));
        let (put_all, pong) = join(join_all(putting), ask(&client, &["ECHO", "pong"])).await;
        assert_eq!(pong.unwrap(), text("pong"));
        put_all.into_iter().for_each(Result::unwrap);
        for (pieces, key) in all.iter().zip(&keys) {
            assert!(read_back(&client, key).await == pieces.concat(), "{key}");
        }
        assert_eq!(read_back(&client, "none").await, b"");
        // A body comes to be only where there was something, and its connection is used again.
        assert!(!put_over(&client, "deleted", &all[2]).await.unwrap());
        assert_eq!(redis.ask(&["exists", "deleted"]), "0");
        assert_eq!(redis.ask(&["pexpiretime", "body1"]), (1_u64 << 42).to_string());
        // One that is given up leaves nothing, and harms nobody.
        let mut given_up = client.put("given up", 9, 1 << 42).await.unwrap();
        given_up.append(Bytes::from_static(b"some")).await.unwrap();
        drop(given_up);
        put(&client, "next", &all[1]).await.unwrap();
        assert_eq!(redis.ask(&["exists", "given up"]), "0");
        let clients: usize = redis.info("connected_clients").parse().unwrap();
        assert!(clients <= 17 + 1, "{clients} connections, the idle ones too");
    });
}

#[test]
fn a_body_that_finds_no_room_is_refused_and_the_next_isnt() {
    let redis = Redis::start(RedisOptions { max_memory: "24mb", ..RedisOptions::default() });
    let url = redis.url();
    run(async move || {
        let client = client(&url, WITHIN);
        let large = vec![Bytes::from(vec![1; 1 << 20]); 3];
        let mut refused = None;
        for nth in 0..9 {
            if let Err(error) = put(&client, &format!("k{nth}"), &large).await {
                refused = Some((nth, error));
                break;
            }
        }
        let (nth, full) = refused.expect("it is full some time");
        assert!(matches!(full, RedisError::Full(_)), "{full}");
        ask(&client, &["DEL", "k0", "k1", "k2", "k3"]).await.unwrap();
        put(&client, &format!("k{nth}"), &large).await.unwrap();
    });
}

#[test]
fn a_body_amid_a_freeze_is_given_up_in_time() {
    let redis = Redis::start(RedisOptions::default());
    let url = redis.url();
    run(async move || {
        let hasty = client(&url, Duration::from_millis(200));
        put(&client(&url, WITHIN), "before", &pieces(3)).await.unwrap();
        ask(&client(&url, WITHIN), &["SET", "frozen", ""]).await.unwrap();
        redis.freeze();
        let frozen = put_over(&hasty, "frozen", &vec![Bytes::from(vec![0; 1 << 20]); 32]).await;
        assert_eq!(frozen.unwrap_err(), RedisError::Deadline { within_ms: 200 });
        assert!(hasty.get_range("before", 0, 9).await.is_err());
        redis.thaw();
        let mut tries = 0;
        let after = until_answered(async || {
            tries += 1;
            let key = format!("after {tries}");
            put(&hasty, &key, &pieces(9)).await.map(|()| key)
        });
        let after = after.await;
        assert!(read_back(&client(&url, WITHIN), &after).await == pieces(9).concat());
        assert_eq!(redis.ask(&["strlen", "frozen"]), "0");
    });
}
