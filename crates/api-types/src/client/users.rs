//! Calls about users.

use reqwest::Method;

use super::{Client, ClientError, NO_BODY, read, segment};
use crate::page::Page;
use crate::users::{
    User, UserCreate, UserCreated, UserPassword, UserPasswordSet, UserQuery, UserStatusUpdate,
    UserUpdate,
};

impl Client {
    /// Users.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn list_users(&self, query: &UserQuery) -> Result<Page<User>, ClientError> {
        let mut parts = Vec::new();
        let home = query.home_organization_id.map(|id| id.to_string());
        let texts = [
            ("status", query.status.map(|status| status.as_str())),
            ("username", query.username.as_deref()),
            ("home_organization_id", home.as_deref()),
            ("cursor", query.cursor.as_deref()),
        ];
        for (name, text) in texts {
            parts.extend(text.map(|text| format!("{name}={}", segment(text))));
        }
        parts.extend(query.limit.map(|limit| format!("limit={limit}")));
        self.read(&format!("/users?{}", parts.join("&"))).await
    }

    /// One user.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn load_user(&self, id: &str) -> Result<User, ClientError> {
        self.read(&format!("/users/{}", segment(id))).await
    }

    /// Makes a user.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn create_user(&self, request: &UserCreate) -> Result<UserCreated, ClientError> {
        read(
            self.send(Method::POST, "/users", Some(request), None)
                .await?,
        )
        .await
    }

    /// Changes the names and addresses of a user that has this revision.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn update_user(
        &self,
        (id, revision): (&str, i64),
        update: &UserUpdate,
    ) -> Result<User, ClientError> {
        let path = format!("/users/{}", segment(id));
        let revision = format!("\"{revision}\"");
        let headers = [("if-match", revision.as_str())];
        let answer = self.send_with(Method::PATCH, &path, Some(update), &headers);
        read(answer.await?).await
    }

    /// Sets the status of a user.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn set_user_status(
        &self,
        id: &str,
        update: &UserStatusUpdate,
    ) -> Result<User, ClientError> {
        let path = format!("/users/{}/status", segment(id));
        read(self.send(Method::PUT, &path, Some(update), None).await?).await
    }

    /// Gives a user a new first password.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn set_user_password(
        &self,
        id: &str,
        request: &UserPasswordSet,
    ) -> Result<UserPassword, ClientError> {
        let path = format!("/users/{}/password", segment(id));
        read(self.send(Method::POST, &path, Some(request), None).await?).await
    }

    /// Forgets the wrong passwords of a user.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn unlock_user(&self, id: &str) -> Result<User, ClientError> {
        let path = format!("/users/{}/unlock", segment(id));
        read(self.send(Method::POST, &path, NO_BODY, None).await?).await
    }

    /// Deletes a user.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn delete_user(&self, id: &str) -> Result<(), ClientError> {
        let path = format!("/users/{}", segment(id));
        self.send(Method::DELETE, &path, NO_BODY, None)
            .await
            .map(drop)
    }

    /// Brings a deleted user back.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn restore_user(&self, id: &str) -> Result<User, ClientError> {
        let path = format!("/users/{}/restore", segment(id));
        read(self.send(Method::POST, &path, NO_BODY, None).await?).await
    }
}
