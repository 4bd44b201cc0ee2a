//! Query parameters, parsed into their types with all problems at once.

use std::fmt::Display;
use std::str::FromStr;

use axum::extract::{FromRequestParts, Query};
use hayloft_model::{Problem, Problems};
use http::Uri;
use http::request::Parts;

use crate::problem::ProblemDetails;
use crate::state::AppState;

/// The parameters that an operation takes.
pub(crate) trait FromQuery: Sized {
    /// Reads the parameters. What is wrong goes to the reader.
    fn read(query: &mut QueryReader) -> Self;
}

/// Extracts parameters that were found right.
pub(crate) struct Parameters<T>(pub(crate) T);

impl<T: FromQuery> FromRequestParts<AppState> for Parameters<T> {
    type Rejection = ProblemDetails;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, ProblemDetails> {
        read(&parts.uri).map(Self)
    }
}

/// Reads the parameters of a URI. Unknown ones are ignored: tools between us and the sender add their own.
pub(crate) fn read<T: FromQuery>(uri: &Uri) -> Result<T, ProblemDetails> {
    let mut query = QueryReader { pairs: pairs(uri), problems: Problems::new() };
    let read = T::read(&mut query);
    if query.problems.is_empty() {
        Ok(read)
    } else {
        Err(ProblemDetails::bad_request("the query cannot be read", query.problems))
    }
}

/// All pairs of a query, percent-decoded, in order.
pub(crate) fn pairs(uri: &Uri) -> Vec<(String, String)> {
    // Every text is a list of pairs (WHATWG URL, application/x-www-form-urlencoded parsing), so nothing can fail.
    Query::try_from_uri(uri).map(|Query(pairs)| pairs).unwrap_or_default()
}

/// The pairs, and what is wrong so far.
pub(crate) struct QueryReader {
    pairs: Vec<(String, String)>,
    problems: Problems,
}

impl QueryReader {
    /// A parameter that may be absent.
    pub(crate) fn optional<T: FromStr<Err: Display>>(&mut self, name: &str) -> Option<T> {
        let at = format!("query.{name}");
        let mut values = self.pairs.iter().filter(|(key, _)| key == name).map(|(_, value)| value);
        let value = values.next()?;
        if values.next().is_some() {
            self.problems.push(Problem::error(at, "stands twice"));
            return None;
        }
        match value.parse() {
            Ok(parsed) => Some(parsed),
            Err(error) => {
                self.problems.push(Problem::error(at, error.to_string()));
                None
            }
        }
    }

    /// A count between bounds that may be absent.
    pub(crate) fn count(&mut self, name: &str, default: usize, most: usize) -> usize {
        match self.optional::<Count>(name) {
            None => default,
            Some(Count(count)) if (1..=most).contains(&count) => count,
            Some(_) => {
                self.problems
                    .push(Problem::error(format!("query.{name}"), format!("is not between 1 and {most}")));
                default
            }
        }
    }
}

struct Count(usize);

impl FromStr for Count {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self).map_err(|_| "is not a number")
    }
}

#[cfg(test)]
mod tests {
    use hayloft_model::OrganizationId;

    use super::*;

    #[derive(Debug)]
    struct Sample(usize, Option<OrganizationId>);

    impl FromQuery for Sample {
        fn read(query: &mut QueryReader) -> Self {
            Self(query.count("tail", 5, 10), query.optional("organizationId"))
        }
    }

    #[test]
    fn all_problems_are_found_at_once() {
        let read = |text: &str| read::<Sample>(&text.parse().unwrap());
        assert_eq!(read("/").unwrap().0, 5);
        assert_eq!(read("/?tail=10&x=1&%%%").unwrap().0, 10);
        let id = format!("org_{:032x}", 1);
        assert_eq!(read(&format!("/?organizationId={id}")).unwrap().1, Some(id.parse().unwrap()));
        for bad in ["/?tail=0", "/?tail=11", "/?tail=-1", "/?tail=x", "/?tail=1&tail=2", "/?organizationId=1"]
        {
            assert_eq!(read(bad).unwrap_err().status(), 400, "{bad}");
        }
        assert!(
            format!("{:?}", read("/?tail=x&organizationId=1").unwrap_err()).contains("query.organizationId")
        );
        assert!(format!("{:?}", read("/?tail=x&organizationId=1").unwrap_err()).contains("query.tail"));
    }
}
