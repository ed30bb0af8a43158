//! Flow 2, pure: whether a token is good. The signature is checked once; all that can change is asked anew every time.

use jiff::Timestamp;

use super::{
    bearer::BearerError,
    claims::Claims,
    client::{Client, Clients},
    keys::KeySet,
    scope::INTROSPECT,
};
use crate::{
    glob::any_glob_matches,
    record::{AccessPolicy, Source, endpoint::TokenRequirements},
};

/// A token whose signature was found to be good, ready to be asked about again and again.
#[derive(Debug)]
pub struct Verified {
    kid: String,
    claims: Claims,
}

/// Why the bearer of a good token may not post to a Webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PostError {
    /// The token is for somebody else.
    OtherAudience,
    /// The Webhook does not accept tokens of this credential.
    OtherClient,
    /// The token lacks a scope.
    MissingScope,
}

/// Checks the signature of a token, its type and its issuer. Nothing else: see [`Verified::is_active`].
#[must_use]
pub fn verify(keys: &KeySet, token: &str, now: Timestamp) -> Option<Verified> {
    let kid = jsonwebtoken::decode_header(token).ok()?.kid?;
    let claims = keys.verifying(&kid, now)?.verify(token)?;
    Some(Verified { kid, claims })
}

impl Verified {
    /// What the token says.
    #[must_use]
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// The answer to introspection while the token is active (RFC 7662, section 2.2).
    #[must_use]
    pub fn answer(&self) -> String {
        let Claims { iss, sub, client_id, aud, scope, iat, iat_nanos: _, exp, jti, namespace, r#gen: _ } = &self.claims;
        serde_json::json!({
            "active": true,
            "scope": scope,
            "client_id": client_id,
            "token_type": "Bearer",
            "exp": exp,
            "iat": iat,
            "sub": sub,
            "aud": aud,
            "iss": iss,
            "jti": jti,
            "namespace": namespace,
        })
        .to_string()
    }

    /// Whether the token, which must be active, is for what a policy protects.
    ///
    /// # Errors
    /// Another audience makes it as invalid there as a wrong signature would (RFC 9068, section 4).
    pub fn satisfies(&self, policy: &AccessPolicy) -> Result<(), BearerError> {
        let AccessPolicy { audience, scopes } = policy;
        if !self.claims.aud.is_among(std::slice::from_ref(audience)) {
            return Err(BearerError::InvalidToken);
        }
        if self.claims.has_scopes(scopes) { Ok(()) } else { Err(BearerError::InsufficientScope(scopes.join(" "))) }
    }

    /// Whether the token, which must be active, lets its bearer post to a Webhook of `namespace`.
    ///
    /// # Errors
    /// What the token lacks.
    pub fn may_post(
        &self,
        required: &TokenRequirements,
        keys: &KeySet,
        clients: &Clients,
        namespace: &str,
    ) -> Result<(), PostError> {
        let TokenRequirements { scopes, audience, clients: globs } = required;
        let audience = audience.as_deref().unwrap_or(keys.issuer());
        if !self.claims.aud.is_for(audience) {
            return Err(PostError::OtherAudience);
        }
        let source = clients.get(self.claims.client_id.as_str()).map(|client| &client.record.source);
        let is_accepted = |source: &Source| match globs.as_slice() {
            [] => source.namespace == namespace,
            globs => any_glob_matches(globs, &format!("{}/{}", source.namespace, source.name)),
        };
        if !source.is_some_and(is_accepted) {
            return Err(PostError::OtherClient);
        }
        if self.claims.has_scopes(scopes) { Ok(()) } else { Err(PostError::MissingScope) }
    }

    /// Whether the token counts at `now`: its key, its time, and its credential as it stands in the records.
    #[must_use]
    pub fn is_active(&self, keys: &KeySet, clients: &Clients, now: Timestamp) -> bool {
        let Self { kid, claims } = self;
        claims.exp > now.as_second()
            && claims.iss == keys.issuer()
            && keys.verifying(kid, now).is_some()
            && clients.get(claims.client_id.as_str()).is_some_and(|client| client.stands_behind(claims, now))
    }
}

impl Client {
    /// Whether a token with these claims is of this life of the credential.
    fn stands_behind(&self, claims: &Claims, now: Timestamp) -> bool {
        self.is_active(now) && self.record.generation.as_str() == claims.r#gen && !self.has_ended(claims, now)
    }

    /// `tokensNotBefore`, once it has come: what was issued before is dead, what was issued then or later is not.
    fn has_ended(&self, claims: &Claims, now: Timestamp) -> bool {
        let ended = |moment| moment <= now && claims.issued_at().is_none_or(|issued| issued < moment);
        self.record.tokens_not_before.is_some_and(ended)
    }

    /// Whether this client, as a caller of introspection, is told about a token with these claims.
    #[must_use]
    pub fn may_see(&self, claims: &Claims) -> bool {
        self.has_scope(INTROSPECT)
            && self.record.introspect_audiences.as_deref().is_none_or(|audiences| claims.aud.is_among(audiences))
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, sync::Arc};

    use super::*;
    use crate::{
        record::{ClientRecord, GenerationId},
        token::{
            Form, issue,
            test::{at, client, keys},
        },
    };

    const ISSUED: i64 = 1_000;

    fn token(keys: &KeySet) -> String {
        let form = Form::parse(b"grant_type=client_credentials").ok().unwrap();
        let mut token = String::new();
        issue(&client("ns.app", |_| {}), keys, &form, at(ISSUED), [0; 16], &mut token).unwrap();
        token
    }

    /// Whether a token issued at [`ISSUED`] is active at `second`, after its client's record has changed.
    fn active(second: i64, change: impl FnOnce(&mut ClientRecord)) -> bool {
        let keys = keys(|_| {});
        let clients = HashMap::from([("ns.app".into(), Arc::new(client("ns.app", change)))]);
        verify(&keys, &token(&keys), at(second)).unwrap().is_active(&keys, &clients, at(second))
    }

    #[test]
    fn a_token_counts_until_it_expires() {
        assert!(active(ISSUED, |_| {}));
        assert!(active(ISSUED + 299, |_| {}));
        assert!(!active(ISSUED + 300, |_| {}));
    }

    #[test]
    fn a_token_dies_with_its_credential() {
        assert!(!active(ISSUED, |record| record.revoked = true));
        assert!(!active(ISSUED, |record| record.suspended = true));
        assert!(!active(ISSUED, |record| record.expires_at = Some(at(ISSUED))));
        assert!(!active(ISSUED, |record| record.generation = GenerationId::from_random([8; 16])));
        let keys = keys(|_| {});
        let verified = verify(&keys, &token(&keys), at(ISSUED)).unwrap();
        assert!(!verified.is_active(&keys, &HashMap::new(), at(ISSUED)), "deleted");
    }

    #[test]
    fn tokens_not_before_ends_older_tokens_once_it_has_come() {
        let with = |second: i64| move |record: &mut ClientRecord| record.tokens_not_before = Some(at(second));
        assert!(active(ISSUED + 9, with(ISSUED + 10)), "not yet");
        assert!(!active(ISSUED + 10, with(ISSUED + 10)));
        assert!(active(ISSUED + 10, with(ISSUED)), "issued at that very moment");
    }

    #[test]
    fn within_its_second_tokens_not_before_divides_before_from_after() {
        let nanosecond = |nanosecond: i128| Timestamp::from_nanosecond(1_000_000_000_000 + nanosecond).unwrap();
        let moment = nanosecond(500_000_001);
        let credential = Arc::new(client("ns.app", |record| record.tokens_not_before = Some(moment)));
        let clients = HashMap::from([("ns.app".into(), credential.clone())]);
        let active = |issued: Timestamp, now: Timestamp| {
            let (keys, mut token) = (keys(|_| {}), String::new());
            let form = Form::parse(b"grant_type=client_credentials").ok().unwrap();
            issue(&credential, &keys, &form, issued, [0; 16], &mut token).unwrap();
            verify(&keys, &token, now).unwrap().is_active(&keys, &clients, now)
        };
        let before = nanosecond(500_000_000);
        assert!(active(before, before), "the moment has not come");
        for now in [moment, at(1_001), at(1_100)] {
            assert!(!active(before, now), "issued before, at {now}");
            assert!(active(moment, now), "issued then, at {now}");
        }
        let after = nanosecond(500_000_002);
        assert!(active(after, after), "issued after");
    }

    #[test]
    fn another_issuer_or_key_or_type_is_unknown() {
        let keys = keys(|_| {});
        let token = token(&keys);
        assert!(verify(&self::keys(|_| {}), &token, at(ISSUED)).is_none(), "another key");
        for text in
            ["", ".", "..", "a.b.c", "\0", "é", &token.replace('.', ""), &format!("{token}x"), &format!(" {token}")]
        {
            assert!(verify(&keys, text, at(ISSUED)).is_none(), "{text:?}");
        }
        let clients = HashMap::from([("ns.app".into(), Arc::new(client("ns.app", |_| {})))]);
        let verified = verify(&keys, &token, at(ISSUED)).unwrap();
        assert!(verified.is_active(&keys, &clients, at(ISSUED)));
        assert!(!verified.is_active(&self::keys(|_| {}), &clients, at(ISSUED)), "its key has gone since");
    }

    #[test]
    fn a_header_that_was_changed_is_not_believed() {
        use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as B64};
        let keys = keys(|_| {});
        let token = token(&keys);
        let (header, rest) = token.split_once('.').unwrap();
        let header = String::from_utf8(B64.decode(header).unwrap()).unwrap();
        for (from, to) in [("EdDSA", "none"), ("EdDSA", "HS256"), ("EdDSA", "ES256"), ("at+jwt", "JWT")] {
            let forged = format!("{}.{rest}", B64.encode(header.replace(from, to)));
            assert!(verify(&keys, &forged, at(ISSUED)).is_none(), "{to}");
        }
    }

    #[test]
    fn a_policy_is_satisfied_by_its_audience_with_all_its_scopes() {
        let keys = keys(|_| {});
        let verified = verify(&keys, &token(&keys), at(ISSUED)).unwrap();
        let satisfies = |audience: &str, scopes: &[&str]| {
            let scopes = scopes.iter().map(|&scope| scope.to_owned()).collect();
            verified.satisfies(&AccessPolicy { audience: audience.to_owned(), scopes })
        };
        assert_eq!(satisfies(keys.issuer(), &[]), Ok(()));
        assert_eq!(satisfies(keys.issuer(), &["invoices:write", "orders:read"]), Ok(()));
        assert_eq!(satisfies("https://x.test", &["orders:read"]), Err(BearerError::InvalidToken));
        let missing = BearerError::InsufficientScope("orders:read orders:write".to_owned());
        assert_eq!(satisfies(keys.issuer(), &["orders:read", "orders:write"]), Err(missing));
        assert!(satisfies(keys.issuer(), &["orders"]).is_err(), "no part of a scope is one");
    }

    #[test]
    fn a_caller_sees_what_its_audiences_allow() {
        let keys = keys(|_| {});
        let verified = verify(&keys, &token(&keys), at(ISSUED)).unwrap();
        let sees = |scope: &str, audiences: Option<&[&str]>| {
            let caller = client("ns.api", |record| {
                record.scopes = vec![scope.to_owned()];
                record.introspect_audiences =
                    audiences.map(|list| list.iter().map(|&audience| audience.to_owned()).collect());
            });
            caller.may_see(verified.claims())
        };
        assert!(sees(INTROSPECT, None));
        assert!(sees(INTROSPECT, Some(&["https://x.test", keys.issuer()])));
        assert!(!sees(INTROSPECT, Some(&["https://x.test"])));
        assert!(!sees(INTROSPECT, Some(&[])));
        assert!(!sees("orders:read", None));
    }
}
