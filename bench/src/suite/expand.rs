//! One entry of a suite that stands for many runs.

use toml::{Table, Value};

/// A name, and what is set.
pub type Named = (String, Vec<(String, Value)>);

/// All ways to put the values of `by` together, each under a name in which `{key}` has become what
/// the key is set to. Without `by` that is one way, which sets nothing.
///
/// # Errors
/// The key that is wrong, and why.
pub fn all(name: &str, by: &Table) -> Result<Vec<Named>, (String, String)> {
    let mut all = vec![(name.to_owned(), Vec::new())];
    for (key, values) in by {
        let wrong = |why: &str| Err((key.clone(), why.to_owned()));
        let Value::Array(values) = values else {
            return wrong("must be a list of values");
        };
        let place = format!("{{{key}}}");
        if !name.contains(&place) {
            return wrong(&format!("the runs' name must have {place} in it"));
        }
        let mut longer = Vec::with_capacity(all.len() * values.len());
        for (name, set) in &all {
            for value in values {
                let mut set = set.clone();
                set.push((key.clone(), value.clone()));
                longer.push((name.replace(&place, &shown(value)), set));
            }
        }
        all = longer;
    }
    Ok(all)
}

/// As a part of a name: `16 MiB` is `16MiB`.
fn shown(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        // Numbers are the same there; what isn't one makes no name.
        other => serde_json::to_string(other).unwrap_or_default(),
    };
    text.split_whitespace().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by(text: &str) -> Table {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn values_are_multiplied() {
        let by = by("'load.chunk_size' = ['1 MiB', '2 MiB']\n'load.connections' = [1, 2, 3]");
        let all = all("x-{load.chunk_size}-{load.connections}", &by).unwrap();
        let names: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["x-1MiB-1", "x-1MiB-2", "x-1MiB-3", "x-2MiB-1", "x-2MiB-2", "x-2MiB-3"]);
        let set = |key: &str, value: Value| (key.to_owned(), value);
        let expected = [set("load.chunk_size", "2 MiB".into()), set("load.connections", 1.into())];
        assert_eq!(all[3].1, expected);
    }

    #[test]
    fn without_values_it_is_one_run() {
        assert_eq!(all("x", &Table::new()).unwrap(), [("x".to_owned(), Vec::new())]);
    }

    #[test]
    fn a_name_that_would_be_two_runs_is_refused() {
        assert_eq!(all("x", &by("a = [1, 2]")).unwrap_err().0, "a");
        assert_eq!(all("x-{a}", &by("a = 1")).unwrap_err().1, "must be a list of values");
    }
}
