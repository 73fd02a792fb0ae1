//! Calls about roles, who holds them, and why somebody may do something.

use reqwest::Method;

use super::{Client, ClientError, NO_BODY, read, segment};
use crate::access::{AccessExplanation, AccessQuestion};
use crate::page::{Page, PageQuery};
use crate::role_assignments::{
    RoleAssignment, RoleAssignmentCreate, RoleAssignmentQuery, RoleAssignmentUpdate,
};
use crate::roles::{Role, RoleCreate, RoleDetail, RoleUpdate};

impl Client {
    /// Makes a role.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn create_role(&self, request: &RoleCreate) -> Result<RoleDetail, ClientError> {
        read(
            self.send(Method::POST, "/roles", Some(request), None)
                .await?,
        )
        .await
    }

    /// Roles that the organization may use.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn list_roles(&self, page: &PageQuery) -> Result<Page<Role>, ClientError> {
        self.list("/roles", page).await
    }

    /// One role.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn load_role(&self, id: &str) -> Result<RoleDetail, ClientError> {
        self.read(&format!("/roles/{}", segment(id))).await
    }

    /// Changes a role that has this revision.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn update_role(
        &self,
        (id, revision): (&str, i64),
        update: &RoleUpdate,
    ) -> Result<RoleDetail, ClientError> {
        let path = format!("/roles/{}", segment(id));
        let revision = format!("\"{revision}\"");
        let headers = [("if-match", revision.as_str())];
        read(
            self.send_with(Method::PATCH, &path, Some(update), &headers)
                .await?,
        )
        .await
    }

    /// Removes a role that has this revision.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn delete_role(&self, (id, revision): (&str, i64)) -> Result<(), ClientError> {
        let path = format!("/roles/{}", segment(id));
        let revision = format!("\"{revision}\"");
        let headers = [("if-match", revision.as_str())];
        self.send_with(Method::DELETE, &path, NO_BODY, &headers)
            .await
            .map(drop)
    }

    /// Takes the removal of a role back.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn restore_role(&self, id: &str) -> Result<RoleDetail, ClientError> {
        let path = format!("/roles/{}/restore", segment(id));
        read(self.send(Method::POST, &path, NO_BODY, None).await?).await
    }

    /// Gives a member a role.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn assign_role(
        &self,
        request: &RoleAssignmentCreate,
    ) -> Result<RoleAssignment, ClientError> {
        let path = "/role-assignments";
        read(self.send(Method::POST, path, Some(request), None).await?).await
    }

    /// Assignments of roles.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn list_role_assignments(
        &self,
        query: &RoleAssignmentQuery,
    ) -> Result<Page<RoleAssignment>, ClientError> {
        let mut parts = vec![format!("ended={}", query.ended)];
        parts.extend(query.user_id.map(|id| format!("user_id={id}")));
        parts.extend(query.role_id.map(|id| format!("role_id={id}")));
        parts.extend(query.limit.map(|limit| format!("limit={limit}")));
        let cursor = query.cursor.as_deref();
        parts.extend(cursor.map(|cursor| format!("cursor={}", segment(cursor))));
        self.read(&format!("/role-assignments?{}", parts.join("&")))
            .await
    }

    /// One assignment.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn load_role_assignment(&self, id: &str) -> Result<RoleAssignment, ClientError> {
        self.read(&format!("/role-assignments/{}", segment(id)))
            .await
    }

    /// Moves the end of an assignment that has this revision.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn update_role_assignment(
        &self,
        (id, revision): (&str, i64),
        update: &RoleAssignmentUpdate,
    ) -> Result<RoleAssignment, ClientError> {
        let path = format!("/role-assignments/{}", segment(id));
        let revision = format!("\"{revision}\"");
        let headers = [("if-match", revision.as_str())];
        read(
            self.send_with(Method::PATCH, &path, Some(update), &headers)
                .await?,
        )
        .await
    }

    /// Takes a role away, or cancels an assignment that has not begun.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn withdraw_role(&self, id: &str) -> Result<(), ClientError> {
        let path = format!("/role-assignments/{}", segment(id));
        self.send(Method::DELETE, &path, NO_BODY, None)
            .await
            .map(drop)
    }

    /// Whether somebody may do something, and why.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn explain_access(
        &self,
        question: &AccessQuestion,
    ) -> Result<AccessExplanation, ClientError> {
        let path = "/access/explain";
        read(self.send(Method::POST, path, Some(question), None).await?).await
    }
}
