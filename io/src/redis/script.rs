//! A Lua script, named by its SHA-1 on the wire.

use redis::{Cmd, ToRedisArgs, cmd};
use sha1::{Digest as _, Sha1};

/// A script. Redis forgets it when it restarts, and is then given its text again.
#[derive(Debug)]
pub struct Script {
    source: &'static str,
    sha1: String,
}

impl Script {
    /// From its text; a first line `#!lua flags=…` is for Redis (since 7.0).
    pub fn new(source: &'static str) -> Self {
        let digest = Sha1::digest(source);
        let sha1 = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Self { source, sha1 }
    }

    /// `EVALSHA` with its keys, which must lie in one slot. Arguments are added by the caller.
    pub fn by_name(&self, keys: &[&str]) -> Cmd {
        let mut call = cmd("EVALSHA");
        call.arg(&self.sha1).arg(keys.len()).arg(keys);
        call
    }

    /// The same with its text, which Redis then remembers.
    pub(super) fn by_text(&self, call: &Cmd) -> Cmd {
        let mut whole = cmd("EVAL");
        whole.arg(self.source);
        for argument in call.args_iter().skip(2) {
            if let redis::Arg::Simple(bytes) = argument {
                whole.arg(Raw(bytes));
            }
        }
        whole
    }
}

/// An argument as it is.
struct Raw<'a>(&'a [u8]);

impl ToRedisArgs for Raw<'_> {
    fn write_redis_args<W: ?Sized + redis::RedisWrite>(&self, out: &mut W) {
        out.write_arg(self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_replaces_the_name_and_nothing_else() {
        let script = Script::new("return 1");
        assert_eq!(script.sha1, "e0e1f9fabfc9d4800c877a703b823ac0578ff8db");
        let mut call = script.by_name(&["k"]);
        call.arg(&b"\xff\r\n"[..]);
        let text = script.by_text(&call).get_packed_command();
        let said =
            b"*5\r\n$4\r\nEVAL\r\n$8\r\nreturn 1\r\n$1\r\n1\r\n$1\r\nk\r\n$3\r\n\xff\r\n\r\n";
        assert_eq!(text, said);
    }
}
