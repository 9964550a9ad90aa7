//! The errors that a store answers.

use super::record::Asked;

/// An error, as a store answers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP's status.
    pub status: u16,
    /// `Code`.
    pub code: String,
    /// `Message`; `None`: there is no such element.
    pub message: Option<String>,
    /// Whether `RequestId`, `HostId` and `Resource` are there.
    pub request_id: bool,
    /// Further elements.
    pub elements: Vec<(String, String)>,
    /// Further headers.
    pub headers: Vec<(String, String)>,
}

impl Refusal {
    /// An error with all that S3 tells.
    pub fn new(status: u16, code: &str, message: &str) -> Self {
        let (code, message) = (code.into(), Some(message.into()));
        Self { status, code, message, request_id: true, elements: vec![], headers: vec![] }
    }

    /// Without message and ids, as some stores answer.
    #[must_use]
    pub fn terse(mut self) -> Self {
        (self.message, self.request_id) = (None, false);
        self
    }

    /// With another header, such as `Retry-After`.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// With another element.
    #[must_use]
    pub fn element(mut self, name: &str, value: &str) -> Self {
        self.elements.push((name.into(), value.into()));
        self
    }

    /// 503 SlowDown.
    pub fn slow_down() -> Self {
        Self::new(503, "SlowDown", "Please reduce your request rate.")
    }

    /// 500 InternalError.
    pub fn internal_error() -> Self {
        Self::new(500, "InternalError", "We encountered an internal error. Please try again.")
    }

    /// 503 ServiceUnavailable.
    pub fn unavailable() -> Self {
        Self::new(503, "ServiceUnavailable", "Service is unable to handle request.")
    }

    /// 400 RequestTimeout.
    pub fn request_timeout() -> Self {
        Self::new(
            400,
            "RequestTimeout",
            "Your socket connection to the server was not read from or written to within the \
             timeout period.",
        )
    }

    /// 404 NoSuchUpload.
    pub fn no_such_upload() -> Self {
        Self::new(
            404,
            "NoSuchUpload",
            "The specified upload does not exist. The upload ID may be invalid, or the upload may \
             have been aborted or completed.",
        )
    }

    /// 404 NoSuchBucket.
    pub fn no_such_bucket() -> Self {
        Self::new(404, "NoSuchBucket", "The specified bucket does not exist")
    }

    /// 404 NoSuchKey.
    pub fn no_such_key() -> Self {
        Self::new(404, "NoSuchKey", "The specified key does not exist.")
    }

    /// 403 AccessDenied.
    pub fn access_denied() -> Self {
        Self::new(403, "AccessDenied", "Access Denied")
    }

    /// 403 InvalidAccessKeyId.
    pub fn invalid_access_key_id() -> Self {
        let message = "The AWS Access Key Id you provided does not exist in our records.";
        Self::new(403, "InvalidAccessKeyId", message)
    }

    /// 403 SignatureDoesNotMatch.
    pub fn signature_does_not_match() -> Self {
        Self::new(
            403,
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided.",
        )
    }

    /// 400 ExpiredToken.
    pub fn expired_token() -> Self {
        Self::new(400, "ExpiredToken", "The provided token has expired.")
    }

    /// 400 InvalidPart.
    pub fn invalid_part() -> Self {
        Self::new(
            400,
            "InvalidPart",
            "One or more of the specified parts could not be found. The part may not have been \
             uploaded, or the specified entity tag may not match the part's entity tag.",
        )
    }

    /// 400 BadDigest.
    pub fn bad_digest() -> Self {
        Self::new(400, "BadDigest", "The digest you specified did not match the calculated one.")
    }

    /// 409 ConditionalRequestConflict.
    pub fn conflict() -> Self {
        Self::new(
            409,
            "ConditionalRequestConflict",
            "The conditional request cannot succeed due to a conflicting operation against this \
             resource.",
        )
    }

    /// 412 PreconditionFailed.
    pub fn precondition_failed() -> Self {
        let message = "At least one of the pre-conditions you specified did not hold";
        Self::new(412, "PreconditionFailed", message).element("Condition", "If-None-Match")
    }

    /// 400 InvalidRequest.
    pub fn invalid_request(message: &str) -> Self {
        Self::new(400, "InvalidRequest", message)
    }

    /// 400 InvalidArgument.
    pub fn invalid_argument(message: &str) -> Self {
        Self::new(400, "InvalidArgument", message)
    }

    /// 501 NotImplemented.
    pub fn not_implemented(what: &str) -> Self {
        let message = "A header you provided implies functionality that is not implemented";
        Self::new(501, "NotImplemented", message).element("Header", what)
    }

    pub(super) fn redirect(status: u16, endpoint: &str, asked: &Asked) -> Self {
        let code = if status == 301 { "PermanentRedirect" } else { "TemporaryRedirect" };
        let host = endpoint.split("://").last().unwrap_or(endpoint);
        let query = if asked.raw_query.is_empty() { "" } else { "?" };
        let location = format!("{endpoint}{}{query}{}", asked.path, asked.raw_query);
        Self::new(status, code, "Please send all future requests to this endpoint.")
            .element("Endpoint", host)
            .header("location", &location)
    }
}
