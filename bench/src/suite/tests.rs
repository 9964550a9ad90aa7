//! What is said of a suite before anything is started.

use super::*;

const RUN: &str = "
    about = 'x'
    server = { kind = 'sluice' }
    client = { kind = 'own' }
";

/// Reads a suite whose runs are made of one file, `base`.
fn read(text: &str) -> Result<Suite, String> {
    let path = PathBuf::from("runs/base.toml");
    let base = RunFile::parse(RUN, &path).unwrap();
    let reader = Reader {
        file: Path::new("suites/s.toml"),
        runs_dir: Path::new("runs"),
        files: BTreeMap::from([(path, base)]),
    };
    let text = format!("about = 'x'\nrounds = 5\n{text}");
    reader.suite("s".into(), &text).map_err(|error| error.to_string())
}

#[test]
fn every_suite_of_ours_can_be_run() {
    let bench = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = |folder: &str| {
        let files = fs::read_dir(bench.join(folder)).unwrap().map(|entry| entry.unwrap().path());
        files.filter(|path| path.extension().is_some_and(|end| end == "toml")).collect::<Vec<_>>()
    };
    for file in files("runs") {
        RunFile::read(&file).unwrap_or_else(|error| panic!("{error}"));
    }
    for file in files("suites") {
        let suite = Suite::read(&file, &bench.join("runs"));
        let suite = suite.unwrap_or_else(|error| panic!("{error}"));
        assert!(suite.runs().next().is_some(), "{}", file.display());
    }
}

#[test]
fn groups_stand_in_the_order_of_their_first_run() {
    let suite = read(
        "
        run = [
            { file = 'base', name = 'a', group = 'two' },
            { file = 'base', name = 'b', group = 'one' },
            { file = 'base', name = 'c', group = 'two' },
        ]
        group = [{ name = 'one', rounds = 2 }]
        ",
    )
    .unwrap();
    let names = |group: &Group| group.runs.iter().map(|run| run.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&suite.groups[0]), ["a", "c"]);
    assert_eq!((suite.groups[0].rounds, suite.groups[1].rounds), (5, 2));
}

#[test]
fn only_the_runs_that_are_asked_for_are_kept() {
    let runs =
        "run = [{ file = 'base', name = 'a-1' }, { file = 'base', name = 'b', group = 'g' }]";
    let mut suite = read(runs).unwrap();
    suite.keep_only(&["a".into(), "x".into()]);
    suite.set_rounds(1);
    assert_eq!(suite.runs().map(|run| run.name.as_str()).collect::<Vec<_>>(), ["a-1"]);
    assert_eq!((suite.groups.len(), suite.groups[0].rounds), (1, 1));
}

#[test]
fn what_is_wrong_is_told_with_file_and_key() {
    let told = |text: &str, parts: &[&str]| {
        let error = read(text).err().unwrap_or_else(|| panic!("{text} is taken"));
        for part in ["suites/s.toml"].iter().chain(parts) {
            assert!(error.contains(part), "{error} doesn't say {part}");
        }
    };
    let run = |rest: &str| format!("run = [{{ file = 'base'{rest} }}]");
    told(&run(", sett = {}"), &["sett"]);
    told(&run(", set = { 'load.chunk' = 1 }"), &["run base: load.chunk", "unknown field"]);
    told(&run(", name = 'a b'"), &["run a b"]);
    told(&run(", by = { 'load.uploads' = [1, 2] }"), &["by.load.uploads"]);
    told("run = [{ file = 'base' }, { file = 'base' }]", &["run base", "another of that name"]);
    told(
        &run(", set = { 'load.offered.of' = { run = 'full', share = 0.5 } }"),
        &["run base: load.offered.of.run", "full"],
    );
    let gate = |rest: &str| {
        let gate = "name = 'g', goal = '<= 1', figure = 'gb_per_s', of = 'base'";
        format!("{}\ngate = [{{ {gate}{rest} }}]", run(""))
    };
    told(&gate(", over = 'other'"), &["gate g", "other"]);
    told(&gate(", over = 'base', over_figure = 'speed'"), &["gate g: over_figure", "speed"]);
    told(&gate(", over_figure = 'gb_per_s'"), &["gate g: over_figure", "over"]);
    told(&gate("").replace("<= 1", "about 1"), &["gate g: goal", "about 1"]);
    told(&format!("{}\ngroup = [{{ name = 'x', rounds = 1 }}]", run("")), &["group x"]);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = read("run = [{ file = 'other' }]").err().unwrap();
    assert!(error.contains("runs/other.toml"), "{error}");
}
