//! What is compared: a server under a name, with settings of its own.

/// One of the servers that are compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// What it is called in the report.
    pub name: String,
    /// Its environment beside the common one.
    pub environment: Vec<(String, String)>,
    /// Its own command, if it isn't the common one: program, then arguments.
    pub command: Vec<String>,
}

impl Variant {
    /// Reads `NAME: KEY=VALUE… COMMAND…`, as `env` takes it; all behind the colon can be left out.
    ///
    /// # Errors
    /// When there is no name.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (name, rest) = text.split_once(':').unwrap_or((text, ""));
        let name = name.trim().to_owned();
        if name.is_empty() {
            return Err("not a variant such as `disk: SLUICE_SPOOL=disk`");
        }
        let mut words = rest.split_whitespace().peekable();
        let mut environment = Vec::new();
        while let Some((key, value)) = words.peek().and_then(|word| word.split_once('=')) {
            environment.push((key.to_owned(), value.to_owned()));
            words.next();
        }
        Ok(Self { name, environment, command: words.map(str::to_owned).collect() })
    }
}

/// Who runs in which round, so that a drift of the machine meets all alike: the order turns about
/// from round to round (ABBA).
pub fn order(variants: usize, round: usize) -> Vec<usize> {
    let forwards = 0..variants;
    if round.is_multiple_of(2) { forwards.collect() } else { forwards.rev().collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_come_before_the_command() {
        let read = Variant::parse("intake: A=1 B=x=y taskset -c 0 sluice serve --cpus=0").unwrap();
        assert_eq!(read.name, "intake");
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(read.environment, [pair("A", "1"), pair("B", "x=y")]);
        assert_eq!(read.command, ["taskset", "-c", "0", "sluice", "serve", "--cpus=0"]);
    }

    #[test]
    fn a_name_is_enough_and_needed() {
        let read = Variant::parse("default").unwrap();
        assert!(read.environment.is_empty() && read.command.is_empty());
        assert!(Variant::parse(": A=1").is_err());
    }

    #[test]
    fn the_order_turns_about() {
        let rounds: Vec<Vec<usize>> = (0..4).map(|round| order(2, round)).collect();
        assert_eq!(rounds, [[0, 1], [1, 0], [0, 1], [1, 0]]);
    }
}
