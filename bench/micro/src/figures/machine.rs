//! What a count depends on beside the code.

use serde::{Deserialize, Serialize};

use super::{
    FigureError,
    count::{output, this_program_under_valgrind},
};

/// Where this differs, counts differ though no code has changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// The compiler.
    pub rustc: String,
    /// What counts, and says which instructions there are.
    pub valgrind: String,
    /// Whose `malloc` and `memcpy` are counted too.
    pub libc: String,
    /// What the checksums choose their code by, as seen under valgrind.
    pub cpu: String,
}

impl Machine {
    /// This one.
    ///
    /// # Errors
    /// When a program that would say is missing.
    pub fn here() -> Result<Self, FigureError> {
        let cpu = this_program_under_valgrind(&["--tool=none", "--quiet"], &["cpu"])?;
        Ok(Self {
            rustc: said_by("rustc", &["--version"])?,
            valgrind: said_by("valgrind", &["--version"])?,
            libc: said_by("getconf", &["GNU_LIBC_VERSION"])?,
            cpu: text(&cpu.stdout),
        })
    }

    /// What is other there, in words; empty if nothing is.
    #[must_use]
    pub fn differences(&self, stored: &Self) -> Vec<String> {
        [
            (&self.rustc, &stored.rustc),
            (&self.valgrind, &stored.valgrind),
            (&self.libc, &stored.libc),
            (&self.cpu, &stored.cpu),
        ]
        .into_iter()
        .filter(|(here, there)| here != there)
        .map(|(here, there)| format!("{here}, stored for {there}"))
        .collect()
    }
}

fn said_by(program: &str, arguments: &[&str]) -> Result<String, FigureError> {
    Ok(text(&output(program, [], arguments)?.stdout))
}

fn text(stdout: &[u8]) -> String {
    String::from_utf8_lossy(stdout).trim().to_owned()
}

/// Architecture and features that code is chosen by.
#[must_use]
pub fn cpu_features() -> String {
    let mut words = vec![std::env::consts::ARCH];
    words.extend(detected());
    words.join(" ")
}

#[cfg(target_arch = "x86_64")]
fn detected() -> impl Iterator<Item = &'static str> {
    [
        ("sse4.2", is_x86_feature_detected!("sse4.2")),
        ("pclmulqdq", is_x86_feature_detected!("pclmulqdq")),
        ("avx2", is_x86_feature_detected!("avx2")),
        ("sha", is_x86_feature_detected!("sha")),
        ("vpclmulqdq", is_x86_feature_detected!("vpclmulqdq")),
        ("avx512f", is_x86_feature_detected!("avx512f")),
    ]
    .into_iter()
    .filter_map(|(name, there)| there.then_some(name))
}

#[cfg(not(target_arch = "x86_64"))]
fn detected() -> impl Iterator<Item = &'static str> {
    std::iter::empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(rustc: &str) -> Machine {
        Machine {
            rustc: rustc.to_owned(),
            valgrind: "valgrind-3.19.0".to_owned(),
            libc: "glibc 2.36".to_owned(),
            cpu: "x86_64 avx2".to_owned(),
        }
    }

    #[test]
    fn another_compiler_is_told() {
        let differences = machine("rustc 1.96.0").differences(&machine("rustc 1.95.0"));
        assert_eq!(differences, ["rustc 1.96.0, stored for rustc 1.95.0"]);
        assert!(machine("rustc 1.95.0").differences(&machine("rustc 1.95.0")).is_empty());
    }
}
