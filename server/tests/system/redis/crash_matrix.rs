//! The crash matrix with state in Redis: whatever was recorded is found again.

#[cfg(feature = "failpoints")]
#[test]
fn a_server_dies_at_each_boundary_and_again_while_it_recovers() {
    let redis = sluice_test_servers::Redis::start(Default::default());
    crate::crash_matrix::all_boundaries("crash_matrix, redis", &super::settings(&redis.url()));
    let live = redis.ask(&["--scan", "--pattern", "sluice:live:*"]);
    assert_eq!(live, "", "uploads that aren't over");
}
