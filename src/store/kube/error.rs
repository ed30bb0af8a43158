//! Flow 2: why records could not be followed for a moment. Never quotes an object: it may be secret.

use tokio::time::error::Elapsed;

/// A failed list or watch.
#[derive(Debug, thiserror::Error)]
pub(super) enum SourceError {
    #[error("the request failed")]
    Request(#[source] kube::Error),
    #[error("the API server ended the watch: {} ({code})", reason)]
    Ended { reason: String, code: u16 },
    #[error("the watch was cut off early")]
    CutOff,
    #[error("the API server said nothing for too long")]
    Silent(#[from] Elapsed),
    #[error("the API server's answer does not parse at line {line}, column {column}")]
    Malformed { line: usize, column: usize },
    #[error("the API server went back to an older state: it was restored from a backup, or lags behind")]
    Older,
}

impl From<kube::Error> for SourceError {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::SerdeError(error) => error.into(),
            error => Self::Request(error),
        }
    }
}

/// Drops the message, which may quote what it was parsing.
impl From<serde_json::Error> for SourceError {
    fn from(error: serde_json::Error) -> Self {
        Self::Malformed { line: error.line(), column: error.column() }
    }
}

impl SourceError {
    /// Whether a watch from the same version would fail, or miss something.
    pub(super) fn wants_list(&self) -> bool {
        match self {
            Self::Ended { .. } | Self::Malformed { .. } | Self::Older => true,
            // Gone, or a version that this API server does not know: it is refused as invalid or waited for in vain.
            Self::Request(kube::Error::Api(status)) => matches!(status.code, 400 | 410 | 504),
            Self::Request(_) | Self::CutOff | Self::Silent(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn refused(code: u16) -> SourceError {
        kube::Error::Api(Box::new(Status::failure("no", "Reason").with_code(code))).into()
    }

    #[test]
    fn only_what_spoils_the_version_costs_a_list() {
        assert!(refused(410).wants_list());
        assert!(refused(504).wants_list());
        for overloaded in [403, 429, 500, 503] {
            assert!(!refused(overloaded).wants_list(), "{overloaded}");
        }
        assert!(!SourceError::CutOff.wants_list());
    }

    #[test]
    fn an_answer_that_does_not_parse_is_not_quoted() {
        let error = serde_json::from_str::<u8>("\"canary\"").unwrap_err();
        assert!(error.to_string().contains("canary"));
        let error = SourceError::from(kube::Error::SerdeError(error));
        assert!(!format!("{error} {error:?}").contains("canary"));
    }
}
