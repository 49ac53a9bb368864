//! Reading the secrets that classes and volumes name.

use crate::driver::Secrets;
use crate::failure::Failure;
use k8s_openapi::api::core::v1::{Secret, SecretReference};
use kube::Client;
use kube::api::Api;

/// The secret's values. What is wrong with them is told by their keys alone.
pub(crate) async fn read(client: &Client, named: &SecretReference) -> Result<Secrets, Failure> {
    let (Some(name), Some(namespace)) = (&named.name, &named.namespace) else {
        return Err(Failure::Wrong("half of a secret's name is missing".to_owned()));
    };
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let secret = api.get_opt(name).await?.ok_or_else(|| {
        Failure::Wrong(format!("secret `{name}` in namespace `{namespace}` is not there"))
    })?;
    let values = secret.data.unwrap_or_default().into_iter().map(|(key, value)| {
        let text = String::from_utf8(value.0);
        text.map(|text| (key.clone(), text)).map_err(|_| {
            Failure::Wrong(format!("`{key}` of secret `{name}` is no text, and CSI passes text"))
        })
    });
    Ok(Secrets(values.collect::<Result<_, _>>()?))
}
