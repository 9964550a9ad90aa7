//! Why a request came to nothing.

use super::xml::ErrorAnswer;

/// What the caller does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The same again, later: the transport, a deadline, a store that is busy or broken, a clock or
    /// credentials that were off and are mended by then.
    Retryable,
    /// A condition of the request doesn't hold (412), or another request was quicker (409).
    Conflict,
    /// There is no such multipart, any more or yet.
    NoSuchUpload,
    /// There is no such object. To a HEAD, stores say this also where there is no such bucket.
    NoSuchKey,
    /// There is no such bucket.
    NoSuchBucket,
    /// These credentials may not, or aren't right: somebody must change that.
    Denied,
    /// A part that was named to Complete isn't there, or isn't that one.
    InvalidPart,
    /// A part that isn't the last one is smaller than the store takes.
    TooSmall,
    /// An object or a part is larger than the store takes.
    TooLarge,
    /// The bucket lies elsewhere; the message says where, as far as the store does.
    Elsewhere,
    /// The store doesn't do such things.
    Unsupported,
    /// What came there isn't what a checksum said. The bytes, or the checksum, are damaged.
    Mismatch,
    /// What was to be sent couldn't be had: see [`super::Body::streamed`].
    Body,
    /// The store refuses, in its own words, and will again.
    Permanent,
}

/// Why a request came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct S3Error {
    /// What to do about it.
    pub kind: ErrorKind,
    /// The answer's status; `None`: there was no answer.
    pub status: Option<u16>,
    /// The store's word for it, such as `SlowDown`; one of ours where there was no answer, or none
    /// in it: `Transport`, `Tls`, `Deadline`, `Stalled`, `NoConnection`, `Credentials`, `Body`,
    /// `InvalidKey`, `Answer`, `Http503`.
    pub code: String,
    /// What is known beside.
    pub message: String,
    in_doubt: bool,
}

impl S3Error {
    /// Whether the request may have been carried out all the same: all of it was sent, and no answer
    /// came, or one that leaves it open (500, 502, 504).
    pub fn is_in_doubt(&self) -> bool {
        self.in_doubt
    }

    pub(super) fn new(kind: ErrorKind, code: &str, message: impl Into<String>) -> Self {
        let (code, message) = (code.to_owned(), message.into());
        Self { kind, status: None, code, message, in_doubt: false }
    }

    /// The way there or back failed.
    pub(super) fn retryable(code: &str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Retryable, code, message)
    }

    /// An answer that isn't one to what was asked, although it was sent.
    pub(super) fn answer(message: impl Into<String>) -> Self {
        Self::retryable("Answer", message).doubtful(true)
    }

    pub(super) fn doubtful(self, in_doubt: bool) -> Self {
        Self { in_doubt, ..self }
    }

    pub(super) fn of_kind(self, kind: ErrorKind) -> Self {
        Self { kind, ..self }
    }

    /// What a store answered with `status`. `elsewhere`: where it says that the bucket is.
    pub(super) fn answered(status: u16, told: ErrorAnswer, elsewhere: Option<&str>) -> Self {
        let code = told.code.unwrap_or_else(|| format!("Http{status}"));
        let mut message = told.message.unwrap_or_default();
        let kind = kind_of(status, &code);
        let region = told.region.as_deref().map(|region| format!("region {region}"));
        let endpoint = told.endpoint.map(|endpoint| format!("endpoint {endpoint}"));
        if kind == ErrorKind::Elsewhere {
            for place in [elsewhere.map(str::to_owned), region, endpoint].into_iter().flatten() {
                message = if message.is_empty() { place } else { format!("{message} ({place})") };
            }
        }
        let in_doubt = matches!(status, 500 | 502 | 504) || (status == 200 && kind.is_open());
        Self { kind, status: Some(status), code, message, in_doubt }
    }
}

impl ErrorKind {
    /// Whether it leaves open what was done.
    fn is_open(self) -> bool {
        self == Self::Retryable
    }
}

/// By the store's word; its status where the word is unknown.
fn kind_of(status: u16, code: &str) -> ErrorKind {
    use ErrorKind::*;
    match code {
        "NoSuchUpload" => NoSuchUpload,
        "NoSuchKey" | "NoSuchVersion" => NoSuchKey,
        "NoSuchBucket" => NoSuchBucket,
        "InvalidPart" | "InvalidPartOrder" => InvalidPart,
        "EntityTooSmall" => TooSmall,
        "EntityTooLarge" | "MaxMessageLengthExceeded" => TooLarge,
        "PreconditionFailed" | "ConditionalRequestConflict" | "OperationAborted" => Conflict,
        "BadDigest" | "XAmzContentSHA256Mismatch" | "XAmzContentChecksumMismatch" => Mismatch,
        "NotImplemented" => Unsupported,
        "PermanentRedirect" | "TemporaryRedirect" | "Redirect" | "AuthorizationHeaderMalformed" => {
            Elsewhere
        }
        "SlowDown"
        | "SlowDownRead"
        | "SlowDownWrite"
        | "InternalError"
        | "ServiceUnavailable"
        | "RequestTimeout"
        | "RequestTimeTooSkewed"
        | "IncompleteBody"
        | "ExpiredToken"
        | "TokenRefreshRequired"
        | "Busy"
        | "Throttling"
        | "RequestLimitExceeded" => Retryable,
        _ => kind_by_status(status),
    }
}

fn kind_by_status(status: u16) -> ErrorKind {
    match status {
        // An error in what began as a success is no other than a 500.
        200..=299 | 408 | 429 | 500 | 502..=599 => ErrorKind::Retryable,
        300..=399 => ErrorKind::Elsewhere,
        401 | 403 => ErrorKind::Denied,
        404 => ErrorKind::NoSuchKey,
        409 | 412 => ErrorKind::Conflict,
        413 => ErrorKind::TooLarge,
        501 => ErrorKind::Unsupported,
        _ => ErrorKind::Permanent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, code: Option<&str>) -> S3Error {
        let told = ErrorAnswer { code: code.map(str::to_owned), ..ErrorAnswer::default() };
        S3Error::answered(status, told, None)
    }

    #[test]
    fn the_word_counts_more_than_the_status() {
        for (status, code, kind) in [
            (404, "NoSuchUpload", ErrorKind::NoSuchUpload),
            (404, "NoSuchBucket", ErrorKind::NoSuchBucket),
            (400, "InvalidPart", ErrorKind::InvalidPart),
            (400, "EntityTooSmall", ErrorKind::TooSmall),
            (400, "RequestTimeout", ErrorKind::Retryable),
            (403, "RequestTimeTooSkewed", ErrorKind::Retryable),
            (403, "InvalidAccessKeyId", ErrorKind::Denied),
            (409, "ConditionalRequestConflict", ErrorKind::Conflict),
            (503, "SlowDown", ErrorKind::Retryable),
            (200, "InternalError", ErrorKind::Retryable),
            (200, "InvalidPart", ErrorKind::InvalidPart),
            (400, "KeyTooLongError", ErrorKind::Permanent),
            (400, "AuthorizationHeaderMalformed", ErrorKind::Elsewhere),
        ] {
            assert_eq!(answered(status, Some(code)).kind, kind, "{status} {code}");
        }
    }

    #[test]
    fn without_a_word_the_status_is_one() {
        for (status, kind) in [
            (301, ErrorKind::Elsewhere),
            (403, ErrorKind::Denied),
            (404, ErrorKind::NoSuchKey),
            (412, ErrorKind::Conflict),
            (429, ErrorKind::Retryable),
            (501, ErrorKind::Unsupported),
            (502, ErrorKind::Retryable),
            (400, ErrorKind::Permanent),
        ] {
            let error = answered(status, None);
            assert_eq!(error.kind, kind, "{status}");
            assert_eq!(error.code, format!("Http{status}"));
        }
    }

    #[test]
    fn only_what_may_have_been_done_is_in_doubt() {
        for (status, in_doubt) in
            [(500, true), (502, true), (504, true), (200, true), (503, false), (403, false)]
        {
            assert_eq!(answered(status, None).is_in_doubt(), in_doubt, "{status}");
        }
        assert!(!answered(200, Some("InvalidPart")).is_in_doubt());
    }

    #[test]
    fn a_redirect_says_where_to() {
        let told = ErrorAnswer { region: Some("eu-west-1".to_owned()), ..ErrorAnswer::default() };
        let error = S3Error::answered(301, told, Some("https://other/"));
        assert_eq!(error.kind, ErrorKind::Elsewhere);
        assert_eq!(error.message, "https://other/ (region eu-west-1)");
    }
}
