//! A refused call: why, and whether and when to send it again.

use std::time::Duration;

use prost::Message as _;
use sluice_proto::error::{Reason, ReceivedRefusal};
use sluice_proto::pb::rpc;
use tonic::{Code, Status};

const PUSHBACK: &str = "grpc-retry-pushback-ms";

/// What a status says.
#[derive(Debug, Clone, PartialEq)]
pub struct Refused {
    /// Code, reason, message.
    pub refusal: ReceivedRefusal,
    /// Whether the same call may be sent again.
    pub may_repeat: bool,
}

impl Refused {
    /// Reads a status. The longer of RetryInfo and pushback counts.
    pub fn read(status: &Status) -> Self {
        let mut read = rpc::Status::decode(status.details()).unwrap_or_default();
        // The details' own copy can be missing or cut; the trailers count.
        read.code = status.code() as i32;
        read.message = status.message().to_owned();
        let mut refusal = ReceivedRefusal::from_status(&read);
        let pushback = pushback(status);
        let asked = match pushback {
            Pushback::After(wait) => Some(wait),
            Pushback::Absent | Pushback::Stop => None,
        };
        refusal.retry_after = refusal.retry_after.max(asked);
        let may_repeat = pushback != Pushback::Stop && is_transient(status.code(), refusal.reason);
        Self { refusal, may_repeat }
    }

    /// The reason, or the code where no Sluice server gave one: what refusals are counted by.
    pub fn name(&self) -> String {
        match self.refusal.reason {
            Some(reason) => reason.as_str().to_owned(),
            None => format!("{:?}", Code::from(self.refusal.code)),
        }
    }
}

fn is_transient(code: Code, reason: Option<Reason>) -> bool {
    match code {
        Code::Unavailable | Code::ResourceExhausted => reason != Some(Reason::Quota),
        _ => false,
    }
}

#[derive(Debug, PartialEq)]
enum Pushback {
    Absent,
    After(Duration),
    /// Negative or unreadable: don't.
    Stop,
}

fn pushback(status: &Status) -> Pushback {
    let Some(value) = status.metadata().get(PUSHBACK) else { return Pushback::Absent };
    match value.to_str().ok().and_then(|text| text.parse().ok()) {
        Some(ms) => Pushback::After(Duration::from_millis(ms)),
        None => Pushback::Stop,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_proto::error::Refusal;

    fn status(refusal: &Refusal, pushback: Option<&'static str>) -> Status {
        let wire = refusal.to_status();
        let details = wire.encode_to_vec().into();
        let mut status = Status::with_details(Code::from(wire.code), wire.message, details);
        if let Some(text) = pushback {
            status.metadata_mut().insert(PUSHBACK, text.parse().unwrap());
        }
        status
    }

    #[test]
    fn the_longer_wait_counts() {
        let busy = Refusal::new(Reason::Budget, "full").retry_after_ms(200);
        let wait = |pushback| Refused::read(&status(&busy, pushback)).refusal.retry_after;
        assert_eq!(wait(None), Some(Duration::from_millis(200)));
        assert_eq!(wait(Some("50")), Some(Duration::from_millis(200)));
        assert_eq!(wait(Some("700")), Some(Duration::from_millis(700)));
    }

    #[test]
    fn only_what_can_pass_by_itself_is_repeated() {
        let may = |reason| Refused::read(&status(&Refusal::new(reason, ""), None)).may_repeat;
        assert!(may(Reason::Budget) && may(Reason::Draining) && may(Reason::TooManyUploads));
        assert!(!may(Reason::Quota) && !may(Reason::ChecksumMismatch) && !may(Reason::Internal));
        let stop = Refused::read(&status(&Refusal::new(Reason::Budget, ""), Some("-1")));
        assert!(!stop.may_repeat);
    }

    #[test]
    fn a_status_of_somebody_else_is_counted_by_its_code() {
        assert_eq!(Refused::read(&Status::unavailable("proxy")).name(), "Unavailable");
        assert_eq!(Refused::read(&status(&Refusal::new(Reason::Rate, ""), None)).name(), "RATE");
    }
}
