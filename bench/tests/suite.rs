//! A suite from end to end: real servers, real clients, and what is left of them.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use sluice_bench::result::SuiteResult;

/// A folder with runs and one suite, gone when it is dropped.
struct Bench(PathBuf);

/// Long enough that a machine that stands still for a moment measures something all the same.
const SINK: &str = "
    about = 'the least'
    server = { kind = 'sink' }
    client = { kind = 'tcp' }
    load = { chunk_size = '64 KiB', upload_size = '1 MiB', warm_up = '10 ms', duration = '6 s' }
";
/// What hasn't happened by then never will.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(5);

impl Bench {
    fn new(name: &str, runs: &[(&str, &str)], suite: &str) -> Self {
        let name = format!("sluice-bench-suite-{name}-{}", std::process::id());
        let bench = Self(std::env::temp_dir().join(name));
        fs::create_dir_all(bench.0.join("runs")).unwrap();
        for (name, text) in runs {
            fs::write(bench.0.join(format!("runs/{name}.toml")), text).unwrap();
        }
        fs::write(bench.0.join("s.toml"), format!("about = 'x'\n{suite}")).unwrap();
        bench
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sluice-bench"));
        command.arg("suite").arg(self.0.join("s.toml"));
        command.arg("--runs-dir").arg(self.0.join("runs")).arg("--out").arg(self.out());
        command.args(["--server-binary", "/bin/false"]);
        command
    }

    fn run(&self) -> Output {
        self.command().output().unwrap()
    }

    fn out(&self) -> PathBuf {
        self.0.join("out")
    }

    fn result(&self) -> SuiteResult {
        let text = fs::read_to_string(self.out().join("result.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn runs_are_measured_by_turns_and_judged() {
    let suite = "
        rounds = 2
        run = [
            { file = 'sink', name = 'one' },
            { file = 'sink', name = 'two', set = { 'load.connections' = 1 } },
        ]
        [[gate]]
        name = 'two ÷ one'
        goal = '> 0'
        figure = 'server_cpu_s_per_gb'
        of = 'two'
        over = 'one'
    ";
    let bench = Bench::new("turns", &[("sink", SINK)], suite);
    let output = bench.run();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{told}");
    let order: Vec<&str> = told.lines().filter_map(|line| line.split(' ').nth(3)).collect();
    assert_eq!(order, ["one:", "two:", "two:", "one:"], "{told}");

    let result = bench.result();
    for repeat in result.runs.iter().flat_map(|run| &run.repeats) {
        assert_eq!(repeat.outcome.failed, None);
        assert!(repeat.outcome.bytes > 0 && repeat.outcome.chunks > 0);
        let server = repeat.server.unwrap();
        assert!(server.cpu_s > 0.0 && server.rss_peak_bytes > 0 && repeat.client.cpu_s > 0.0);
        assert!(!repeat.samples.is_empty());
        let lo = repeat.interfaces.iter().find(|interface| interface.name == "lo").unwrap();
        assert!(lo.received_bytes >= repeat.outcome.bytes / 2);
    }
    assert!(result.runs[0].settings.contains_key("server CPUs"));
    assert!(!result.machine.kernel.is_empty() && result.machine.cpus > 0);

    let gates = fs::read_to_string(bench.out().join("gates.json")).unwrap();
    let gates: serde_json::Value = serde_json::from_str(&gates).unwrap();
    assert_eq!(gates[0]["name"], "two ÷ one");
    assert_eq!(gates[0]["goal"], "> 0");
    assert!(gates[0]["value"].as_f64().unwrap() > 0.0 && gates[0]["met"].as_bool().unwrap());
    assert!(bench.out().join("hlog/two-1.hlog").exists());
    assert!(!bench.out().join("tmp").exists());
}

#[test]
fn a_run_that_fails_is_kept_and_the_rest_goes_on() {
    let failing = "
        about = 'a server that ends at once'
        server = { kind = 'sluice' }
        client = { kind = 'own' }
    ";
    let suite = "
        rounds = 1
        run = [{ file = 'failing' }, { file = 'sink' }]
        [[gate]]
        name = 'of what failed'
        goal = '> 0'
        figure = 'gb_per_s'
        of = 'failing'
        over = 'sink'
    ";
    let bench = Bench::new("failing", &[("failing", failing), ("sink", SINK)], suite);
    let output = bench.run();
    assert_eq!(output.status.code(), Some(1));
    let result = bench.result();
    let failed = result.runs[0].repeats[0].outcome.failed.clone().unwrap();
    assert!(failed.contains("the server ended at once"), "{failed}");
    assert_eq!(result.runs[1].repeats[0].outcome.failed, None);
    let gate = &result.gates[0];
    assert!(gate.value.is_none() && !gate.met && gate.note.is_some());
}

#[test]
fn a_mistake_is_told_before_anything_is_started() {
    let suite = "
        rounds = 1
        run = [{ file = 'sink' }, { file = 'sink', name = 'b', set = { 'load.size' = 1 } }]
    ";
    let bench = Bench::new("mistake", &[("sink", SINK)], suite);
    let output = bench.run();
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("s.toml") && told.contains("run b: load.size"), "{told}");
    assert!(!bench.out().exists());
}

#[test]
fn an_interrupt_leaves_nothing_behind() {
    let long = SINK.replace("6 s", "10 min");
    let suite = "rounds = 1\nrun = [{ file = 'sink' }]";
    let bench = Bench::new("interrupt", &[("sink", &long)], suite);
    let mut process = bench.command().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let children = wait_for(&mut process, "two children", |process| {
        assert_eq!(process.try_wait().unwrap(), None);
        let children = children(process.id());
        (children.len() == 2).then_some(children)
    });
    let pid = libc::pid_t::try_from(process.id()).unwrap();
    // SAFETY: touches no memory; the process is ours and not yet waited for.
    assert_eq!(unsafe { libc::kill(pid, libc::SIGINT) }, 0);
    let status = wait_for(&mut process, "its end", |process| process.try_wait().unwrap());
    assert_eq!(status.signal(), None);
    assert!(!status.success());
    assert!(children.iter().all(|child| !Path::new(&format!("/proc/{child}")).exists()));
    assert!(!bench.out().join("tmp").exists() && !bench.out().join("result.json").exists());
}

/// What `look` finds some time; without it the process is ended.
#[track_caller]
#[expect(clippy::disallowed_methods, reason = "waiting for another process needs a clock")]
fn wait_for<T>(
    process: &mut Child,
    what: &str,
    mut look: impl FnMut(&mut Child) -> Option<T>,
) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look(process) {
            return found;
        }
        if Instant::now() > deadline {
            process.kill().unwrap();
            panic!("never seen: {what}");
        }
        std::thread::sleep(POLL);
    }
}

fn children(pid: u32) -> Vec<String> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace().map(str::to_owned).collect()
}
