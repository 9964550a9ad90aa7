//! `docs/COMMAND.md` is what the command says of itself.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

const PAGE: &str = "../docs/COMMAND.md";
const BEGIN: &str = "\n<!-- From here on as `--help` has it. -->\n";

/// The help of a command.
fn help(words: &[String]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
    let output = command.env_clear().args(words).arg("--help").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The commands that a help names.
fn subcommands(help: &str) -> Vec<String> {
    let named = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let named = named.take_while(|line| !line.is_empty());
    let names = named.filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

fn write(words: &[String], page: &mut String) {
    let help = help(words);
    let title = words.iter().fold("sluice".to_owned(), |title, word| title + " " + word);
    let _ = write!(page, "\n## {title}\n\n```text\n{}\n```\n", help.trim_end());
    for name in subcommands(&help) {
        write(&[words, &[name]].concat(), page);
    }
}

#[test]
fn the_page_says_what_the_command_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let page = std::fs::read_to_string(&path).unwrap();
    let (prose, reference) = page.split_once(BEGIN).expect("the page has a reference");
    let mut said = String::new();
    write(&[], &mut said);
    if std::env::var_os("WRITE_DOCS").is_some() {
        std::fs::write(&path, format!("{prose}{BEGIN}{said}")).unwrap();
        return;
    }
    assert!(reference == said, "run this test with WRITE_DOCS=1, and look at the difference");
}
