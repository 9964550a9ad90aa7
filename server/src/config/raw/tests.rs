use std::io::Write as _;

use super::*;

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn env(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let file = file("listen = 'a'\ndata_dir = 'b'\ncpus = [0, 2]\n[limits]\nuploads_max = 7\n");
    let env = env(&[("SLUICE_LISTEN", "c"), ("SLUICE_DATA_DIR", "d"), ("HOME", "/")]);
    let raw = RawConfig::load(Some(file.path()), env, [("data-dir", "e".to_owned())]).unwrap();
    let text = |key| raw.get(key).unwrap().text.clone();
    assert_eq!((text("listen"), text("data_dir")), ("c".to_owned(), "e".to_owned()));
    assert_eq!((text("cpus"), text("limits.uploads_max")), ("0,2".to_owned(), "7".to_owned()));
    assert_eq!(raw.origin("listen"), Origin::Env("SLUICE_LISTEN".into()));
    assert_eq!(raw.origin("data_dir"), Origin::Flag("data-dir"));
    assert_eq!(raw.origin("cpus"), Origin::File(file.path().into()));
    assert_eq!(raw.origin("spool"), Origin::Default);
}

#[test]
fn unknown_keys_are_named_with_their_origin_and_what_was_meant() {
    let file = file("[limits]\nuplods_max = 7\n");
    let error = RawConfig::load(Some(file.path()), [], []).unwrap_err().to_string();
    assert!(error.contains("`limits.uplods_max` (file "), "{error}");
    assert!(error.ends_with("did you mean `limits.uploads_max`?"), "{error}");
    let error = RawConfig::load(None, env(&[("SLUICE_S3__BUKET", "x")]), []).unwrap_err();
    assert!(error.to_string().contains("`s3.buket` (environment SLUICE_S3__BUKET)"));
}

#[test]
fn secrets_come_from_files_and_are_never_shown() {
    let secret = file("hunter2\n");
    let path = secret.path().to_str().unwrap();
    let name = "SLUICE_S3__SECRET_ACCESS_KEY";
    let by_file = ("SLUICE_S3__SECRET_ACCESS_KEY_FILE", path);
    let raw = RawConfig::load(None, env(&[by_file]), []).unwrap();
    assert_eq!(raw.get("s3.secret_access_key").unwrap().text, "hunter2");
    assert!(!format!("{raw:?}").contains("hunter2"));
    let both = RawConfig::load(None, env(&[by_file, (name, "x")]), []).unwrap_err();
    assert!(matches!(both, ConfigError::Contradiction { .. }), "{both}");
    // What is no secret is not read from files.
    let open = RawConfig::load(None, env(&[("SLUICE_S3__BUCKET_FILE", path)]), []);
    assert!(matches!(open, Err(ConfigError::Unknown { .. })));
}

#[test]
fn a_service_of_the_same_name_in_kubernetes_breaks_nothing() {
    let injected = [
        ("SLUICE_PORT", "tcp://10.0.0.1:7070"),
        ("SLUICE_PORT_7070_TCP_ADDR", "10.0.0.1"),
        ("SLUICE_SERVICE_HOST", "10.0.0.1"),
        ("SLUICE_CPUS", ""),
    ];
    let raw = RawConfig::load(None, env(&injected), []).unwrap();
    assert!(raw.settings.is_empty());
}

#[test]
fn a_missing_or_broken_file_is_named() {
    let missing = RawConfig::load(Some(Path::new("/nowhere/sluice.toml")), [], []).unwrap_err();
    assert!(missing.to_string().starts_with("can't read /nowhere/sluice.toml"));
    let file = file("listen = [");
    let broken = RawConfig::load(Some(file.path()), [], []).unwrap_err();
    assert!(matches!(broken, ConfigError::Syntax { .. }), "{broken}");
}

#[test]
fn a_key_and_its_variable_name_each_other() {
    for key in keys::KEYS {
        assert_eq!(key_of(&variable_of(key.name)), key.name);
    }
    assert_eq!(variable_of("s3.endpoint"), "SLUICE_S3__ENDPOINT");
}
