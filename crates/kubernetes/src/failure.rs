//! Why a duty could not be done.

use crate::driver::Refusal;
use std::fmt;

/// Why, and by whom.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The driver refused.
    Refused(Refusal),
    /// The API server did.
    Api(Box<kube::Error>),
    /// Something in an object is wrong, or is not yet as it has to be.
    Wrong(String),
}

impl Failure {
    /// True when somebody else has changed the object meanwhile.
    pub(crate) fn is_conflict(&self) -> bool {
        matches!(self, Failure::Api(error)
            if matches!(error.as_ref(), kube::Error::Api(status) if status.code == 409))
    }
}

impl From<kube::Error> for Failure {
    fn from(error: kube::Error) -> Failure {
        Failure::Api(Box::new(error))
    }
}

impl From<String> for Failure {
    fn from(words: String) -> Failure {
        Failure::Wrong(words)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Refused(refusal) => write!(f, "{refusal}"),
            // Its own text has the whole answer in it, twice.
            Failure::Api(error) => match error.as_ref() {
                kube::Error::Api(status) => write!(f, "the API server says: {}", status.message),
                error => write!(f, "{error}"),
            },
            Failure::Wrong(words) => f.write_str(words),
        }
    }
}
