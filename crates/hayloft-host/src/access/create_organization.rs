//! Make an organization.

use hayloft_model::{Caller, Problem, Problems};
use hayloft_store::organizations::Organization;

use super::{Denied, administrator_only};
use crate::uninterrupted::uninterrupted;
use crate::{Host, StoreError};

/// Why no organization was made.
#[derive(Debug, thiserror::Error)]
pub enum CreateOrganizationError {
    /// The caller may not.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The name cannot be used.
    #[error("the organization is not valid")]
    Invalid(Problems),
    /// We broke.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The longest name, in characters.
const LONGEST_NAME: usize = 200;

impl Host {
    /// Makes an organization, with the plugins switched on that ask for it. Names are for people and need not be
    /// unique; the id is what counts.
    ///
    /// # Errors
    /// See [`CreateOrganizationError`].
    pub async fn create_organization(
        &self,
        caller: &Caller,
        name: &str,
    ) -> Result<Organization, CreateOrganizationError> {
        administrator_only(caller)?;
        let name = name.trim();
        let problems = check_name(name, "name", LONGEST_NAME);
        if problems.has_errors() {
            return Err(CreateOrganizationError::Invalid(problems));
        }
        let (host, caller, name) = (self.clone(), caller.clone(), name.to_owned());
        uninterrupted(async move {
            let organization =
                host.store.organizations().create(&name, &caller).await.map_err(StoreError::from)?;
            host.access.add_organization(organization.id, &organization.name);
            host.enable_by_default(&caller, organization.id).await;
            Ok(organization)
        })
        .await
    }
}

/// What is wrong with a name that people are to read.
pub(super) fn check_name(name: &str, at: &str, longest: usize) -> Problems {
    let mut problems = Problems::new();
    if name.is_empty() {
        problems.push(Problem::error(at, "is empty").hint("give it a name that people will recognise"));
    }
    if name.chars().count() > longest {
        problems.push(Problem::error(at, format!("is longer than {longest} characters")));
    }
    if name.chars().any(char::is_control) {
        problems.push(Problem::error(at, "has a control character in it"));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_for_people() {
        assert!(check_name("Müller & Söhne", "name", LONGEST_NAME).is_empty());
        for bad in ["", "a\u{1b}[31m", "a\nb", &"x".repeat(201)] {
            assert!(check_name(bad, "name", LONGEST_NAME).has_errors(), "{bad:?}");
        }
    }
}
