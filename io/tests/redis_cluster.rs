//! Redis Cluster as a client of ours sees it, with real servers.

mod redis_support;

use std::time::Duration;

use bytes::Bytes;
use redis_support::{WITHIN, ask, client, command, run, text};
use sluice_io::{
    reactor::timer,
    redis::{RedisError, Script, Value, cmd},
};
use sluice_test_servers::{RedisCluster, RedisOptions};

/// A replica takes over after some seconds.
const FAILOVER_TRIES: u32 = 600;
const PAUSE: Duration = Duration::from_millis(200);

#[test]
fn keys_are_found_wherever_their_slot_lies() {
    let cluster = RedisCluster::start(3, 0, RedisOptions::default());
    run(async move || {
        let client = client(&cluster.url(), WITHIN);
        client.connect().await.unwrap();
        assert!(client.is_cluster());
        assert_eq!(client.run_everywhere(&command(&["PING"])).await.len(), 3);
        let keys: Vec<_> = (0..60).map(|number| format!("upload:{{{number}}}:state")).collect();
        for key in &keys {
            ask(&client, &["SET", key, key]).await.unwrap();
        }
        for node in &cluster.nodes {
            let held: u32 = node.ask(&["dbsize"]).parse().unwrap();
            assert!(held > 5, "{held} of {}", keys.len());
        }
        // A slot has moved, and one is on its way: half of it is there already.
        let (moved, moving) = (keys[0].as_str(), keys[1].as_str());
        let next = (cluster.master_of(moved) + 1) % 3;
        cluster.move_slot(moved, next);
        assert_eq!(ask(&client, &["GET", moved]).await.unwrap(), text(moved));
        let next = (cluster.master_of(moving) + 1) % 3;
        let still = moving.replace("state", "still");
        ask(&client, &["SET", &still, "still here"]).await.unwrap();
        cluster.begin_to_move_slot(moving, next);
        assert_eq!(ask(&client, &["GET", moving]).await.unwrap(), text(moving));
        let fresh = moving.replace("state", "fresh");
        ask(&client, &["SET", &fresh, "f"]).await.unwrap();
        assert_eq!(ask(&client, &["GET", &fresh]).await.unwrap(), text("f"));
        let script = Script::new("#!lua flags=allow-oom\nreturn redis.call('GET', KEYS[1])");
        let call = script.by_name(&[&fresh]);
        let read = client.run_script(&fresh, &script, &call).await.unwrap();
        assert_eq!(read, text("f"));
        // A body takes the new way once it was sent there.
        let body = moving.replace("state", "body");
        ask(&client, &["SET", &body, ""]).await.unwrap();
        let put = async || {
            let mut put = client.put(&body, 4, 1 << 42).await?;
            put.append(Bytes::from_static(b"body")).await?;
            put.finish().await
        };
        let sent_on = put().await.unwrap_err();
        assert!(matches!(&sent_on, RedisError::NotNow { code, .. } if code == "ASK"), "{sent_on}");
        assert!(put().await.unwrap());
        assert_eq!(client.get_range(&body, 1, 9).await.unwrap(), "ody");
        // What lies at the old server still is found there.
        assert_eq!(client.get_range(&still, 0, 9).await.unwrap(), "still her");
        cluster.move_slot(moving, next);
        assert_eq!(ask(&client, &["GET", &fresh]).await.unwrap(), text("f"));
    });
}

#[test]
fn a_replica_takes_over_from_a_dead_master() {
    let mut cluster = RedisCluster::start(3, 1, RedisOptions::default());
    run(async move || {
        let client = client(&cluster.url(), WITHIN);
        client.connect().await.unwrap();
        let key = "{a}:k";
        ask(&client, &["SET", key, "v"]).await.unwrap();
        let mut wait = cmd("WAIT");
        wait.arg(1).arg(50_000);
        assert_eq!(client.run(key, &wait).await.unwrap(), Value::Int(1));
        let master = cluster.master_of(key);
        cluster.nodes[master].kill();
        let mut tries = 0;
        while let Err(error) = ask(&client, &["SET", key, "w"]).await {
            tries += 1;
            assert!(tries < FAILOVER_TRIES, "{error}");
            timer::sleep(PAUSE).await;
        }
        assert!(tries > 0, "somebody must have noticed");
        assert_eq!(ask(&client, &["GET", key]).await.unwrap(), text("w"));
    });
}
