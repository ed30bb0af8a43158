//! Flow 1, step 2, pure: the resource as types that cannot be wrong, or the refusal. After this nobody looks at the spec again.

use kube::{Resource as _, ResourceExt as _};

use crate::{
    controller::{
        checks,
        consumer::{Consumer, key},
        fetch::{self, Observed},
        refusal::{Reason, Refusal, refuse},
    },
    crd::{
        Kind as _, SecretFrom, WebhookCredential,
        webhook_credential::{CredentialType, InjectionKeys},
    },
    delivery::inject::{self, Part, PartError},
    record::{Confidential, Location, Source},
};

/// A resource that can be built.
pub struct Validated {
    /// The resource.
    pub source: Source,
    /// `metadata.generation`.
    pub generation: i64,
    /// For people.
    pub display_name: String,
    /// Where the value goes.
    pub location: Location,
    /// Name of the header or query parameter.
    pub field_name: String,
    /// What is sent.
    pub value: Confidential,
    /// The Secret for the app, without its data.
    pub consumer: Consumer,
    /// Names of its keys.
    pub keys: Keys,
}

/// Names of the keys in the Secret for the app.
pub struct Keys {
    /// The name of the header or query parameter.
    pub field_name: String,
    /// `Header` or `QueryParam`.
    pub location: String,
    /// What is sent.
    pub value: String,
}

/// Checks a resource against everything that was fetched.
///
/// # Errors
/// The first refusal.
pub fn validate(resource: &WebhookCredential, observed: &Observed<WebhookCredential>) -> Result<Validated, Refusal> {
    checks::check_secret(resource, observed)?;
    let spec = &resource.spec;
    inject::check_field_name(spec.location, &spec.field_name)
        .or_else(|error| refuse(Reason::FieldNotAllowed, format!("spec.fieldName {error}")))?;
    Ok(Validated {
        source: fetch::source(resource),
        generation: resource.meta().generation.unwrap_or_default(),
        display_name: display_name(resource),
        location: spec.location,
        field_name: spec.field_name.clone(),
        value: value(resource, observed)?,
        consumer: Consumer::of(resource, false),
        keys: keys(resource),
    })
}

/// For people.
#[must_use]
pub fn display_name(resource: &WebhookCredential) -> String {
    resource.spec.display_name.clone().unwrap_or_else(|| resource.name_any())
}

/// What is sent, of what the spec says and of what it refers to.
fn value(resource: &WebhookCredential, observed: &Observed<WebhookCredential>) -> Result<Confidential, Refusal> {
    const ID_FROM: &str = "spec.clientIdFrom";
    const SECRET_FROM: &str = "spec.clientSecretFrom";
    let spec = &resource.spec;
    let part = |field, from: &Option<SecretFrom>| from.as_ref().map(|from| text(resource, observed, field, from));
    let id_from = part(ID_FROM, &spec.client_id_from).transpose()?;
    let id = id_from.or(spec.client_id.as_deref()).unwrap_or_default();
    let secret = match spec.type_ {
        CredentialType::ClientId => None,
        // The CRD requires the reference; without one there is nothing to send.
        CredentialType::ClientIdAndSecret => part(SECRET_FROM, &spec.client_secret_from).unwrap_or(Ok("")).map(Some)?,
    };
    inject::value_of(id, secret).or_else(|PartError { part, problem }| {
        let field = match part {
            Part::ClientId if spec.client_id_from.is_some() => ID_FROM,
            Part::ClientId => "spec.clientId",
            Part::ClientSecret => SECRET_FROM,
        };
        refuse(Reason::ValueNotAllowed, format!("{field}: {part} {problem}"))
    })
}

fn text<'a>(
    resource: &WebhookCredential,
    observed: &'a Observed<WebhookCredential>,
    field: &str,
    from: &SecretFrom,
) -> Result<&'a str, Refusal> {
    let value = checks::referenced(resource, observed, field, from)?;
    let (name, key) = (&from.secret_key_ref.name, &from.secret_key_ref.key.0);
    std::str::from_utf8(value).or_else(|_| {
        refuse(
            Reason::ValueNotAllowed,
            format!("{field}: the value under {key:?} in the Secret {name} is no text; write it in ASCII"),
        )
    })
}

fn keys(resource: &WebhookCredential) -> Keys {
    let chosen = resource.secret_template().and_then(|template| template.keys.clone()).unwrap_or_default();
    let InjectionKeys { field_name, location, value } = chosen;
    Keys { field_name: key(field_name, "field-name"), location: key(location, "location"), value: key(value, "value") }
}
