//! What is compared: a server under a name, with settings of its own.

use std::path::PathBuf;

/// One of the servers that are compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// What it is called in the report.
    pub name: String,
    /// Its environment beside the common one.
    pub settings: Vec<(String, String)>,
    /// Its own build, if it isn't the common one.
    pub binary: Option<PathBuf>,
    /// More words for its command line.
    pub arguments: Vec<String>,
}

impl Variant {
    /// Reads `NAME: KEY=VALUE… BINARY ARGUMENT…`; all behind the colon can be left out.
    ///
    /// # Errors
    /// When there is no name that a file can have.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (name, rest) = text.split_once(':').unwrap_or((text, ""));
        let name = name.trim().to_owned();
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if name.is_empty() || !name.chars().all(plain) {
            return Err("not a variant such as `disk: SLUICE_SPOOL=disk`");
        }
        let mut words = rest.split_whitespace().peekable();
        let mut settings = Vec::new();
        while let Some((key, value)) = words.peek().and_then(|word| word.split_once('=')) {
            settings.push((key.to_owned(), value.to_owned()));
            words.next();
        }
        let binary = words.next().map(PathBuf::from);
        Ok(Self { name, settings, binary, arguments: words.map(str::to_owned).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_come_before_the_build() {
        let read = Variant::parse("intake: A=1 B=x=y old/sluice --memory-limit=1G -v").unwrap();
        assert_eq!(read.name, "intake");
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(read.settings, [pair("A", "1"), pair("B", "x=y")]);
        assert_eq!(read.binary, Some("old/sluice".into()));
        assert_eq!(read.arguments, ["--memory-limit=1G", "-v"]);
    }

    #[test]
    fn a_name_is_enough_and_needed() {
        let read = Variant::parse("default").unwrap();
        assert!(read.settings.is_empty() && read.binary.is_none());
        assert!(Variant::parse(": A=1").is_err());
        assert!(Variant::parse("a/b: A=1").is_err());
    }
}
