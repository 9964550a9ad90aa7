//! Page tokens: where a walk through a list goes on.
//!
//! A token is the key of the last item that was told, and a digest of it, the call and its
//! filters: so what isn't ours, or is another call's, is told from what is. It is no secret, and
//! nothing is kept for it. The page's size isn't in it: it may change from page to page.

use sluice_proto::{checksum::Sha256State, error::Refusal, limits::PAGE_ITEMS_MAX};

const DIGEST_BYTES: usize = 8;

/// One walk: a call and its filters.
pub(super) struct Walk(Sha256State);

impl Walk {
    /// Of a method, and each filter in its order.
    pub(super) fn new(method: &str, filters: &[&str]) -> Self {
        let mut state = Sha256State::new();
        for part in [method].iter().chain(filters) {
            state.update(&(part.len() as u64).to_be_bytes());
            state.update(part.as_bytes());
        }
        Self(state)
    }

    /// The token to go on behind a key.
    pub(super) fn token(&self, key: &[u8]) -> String {
        let bytes = [&self.digest(key), key].concat();
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The key that a request goes on behind; `None` at the beginning.
    pub(super) fn key(&self, token: &str) -> Result<Option<Vec<u8>>, Refusal> {
        if token.is_empty() {
            return Ok(None);
        }
        let key = unhex(token).and_then(|bytes| {
            let (digest, key) = bytes.split_at_checked(DIGEST_BYTES)?;
            (digest == self.digest(key)).then(|| key.to_vec())
        });
        key.map(Some).ok_or_else(not_ours)
    }

    /// The same of keys that are texts; empty at the beginning, before all of them.
    pub(super) fn text(&self, token: &str) -> Result<String, Refusal> {
        let key = self.key(token)?.unwrap_or_default();
        String::from_utf8(key).map_err(|_| not_ours())
    }

    fn digest(&self, key: &[u8]) -> [u8; DIGEST_BYTES] {
        let mut state = self.0.clone();
        state.update(key);
        *state.finish().first_chunk().expect("a SHA-256 is longer")
    }
}

/// FIELD_INVALID about the token.
pub(super) fn not_ours() -> Refusal {
    Refusal::invalid("page_token", "is not from an earlier page of this call")
}

/// How many items a page may have.
pub(super) fn page_size(asked: i32, default: u32) -> Result<usize, Refusal> {
    let size = match asked {
        0 => default,
        1.. => (asked as u32).min(PAGE_ITEMS_MAX),
        _ => {
            return Err(Refusal::invalid("page_size", "can't be negative")
                .with("value", asked)
                .with("minimum", 0));
        }
    };
    Ok(size as usize)
}

/// Only the form that [`Walk::token`] writes.
fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let bytes = pairs.iter().map(|&[high, low]| Some(digit(high)? << 4 | digit(low)?));
    if rest.is_empty() { bytes.collect() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_token_is_good_for_its_own_walk_alone(key: Vec<u8>, filter in ".{0,9}", other in ".{0,9}") {
            let walk = Walk::new("ListNodes", &["default", &filter]);
            let token = walk.token(&key);
            prop_assert_eq!(walk.key(&token).unwrap(), Some(key));
            for foreign in [
                Walk::new("ListUploads", &["default", &filter]),
                Walk::new("ListNodes", &["default", &filter, ""]),
                Walk::new("ListNodes", &["defaul", &format!("t{filter}")]),
            ] {
                prop_assert!(foreign.key(&token).is_err());
            }
            if other != filter {
                prop_assert!(Walk::new("ListNodes", &["default", &other]).key(&token).is_err());
            }
        }

        #[test]
        fn any_other_text_is_refused(text in "\\PC{1,60}|[0-9a-f]{1,60}", cut in 1..16usize) {
            let walk = Walk::new("ListNodes", &["default"]);
            prop_assert_eq!(walk.key(&text).unwrap_err().field, Some("page_token"));
            let token = walk.token(b"key");
            prop_assert!(walk.key(&token[..token.len() - cut]).is_err());
            prop_assert!(walk.key(&token.to_uppercase()).is_err() || token == token.to_uppercase());
        }
    }

    #[test]
    fn a_page_has_a_size_within_the_limits() {
        assert_eq!(page_size(0, 100).unwrap(), 100);
        assert_eq!(page_size(7, 100).unwrap(), 7);
        assert_eq!(page_size(i32::MAX, 100).unwrap(), PAGE_ITEMS_MAX as usize);
        assert_eq!(page_size(-1, 100).unwrap_err().field, Some("page_size"));
    }
}
