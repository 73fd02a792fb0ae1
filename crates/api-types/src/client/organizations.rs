//! Calls about organizations, their members and invitations.

use reqwest::Method;

use super::{Client, ClientError, Credential, NO_BODY, read, segment, session_made};
use crate::members::{
    Invitation, InvitationAccept, InvitationAccepted, InvitationCreate, InvitationCreated, Member,
    MemberCreate, MemberLeave, MemberRemoval, MemberStatusUpdate,
};
use crate::organizations::{
    Organization, OrganizationChoice, OrganizationCreate, OrganizationStatusUpdate,
    OrganizationSummary, OrganizationUpdate,
};
use crate::page::{Page, PageQuery};
use crate::sessions::SessionCreated;

impl Client {
    /// Makes an organization.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn create_organization(
        &self,
        request: &OrganizationCreate,
    ) -> Result<Organization, ClientError> {
        let path = "/organizations";
        read(self.send(Method::POST, path, Some(request), None).await?).await
    }

    /// Organizations that the caller may know of.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn list_organizations(
        &self,
        page: &PageQuery,
    ) -> Result<Page<OrganizationSummary>, ClientError> {
        self.list("/organizations", page).await
    }

    /// One organization.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn load_organization(&self, id: &str) -> Result<Organization, ClientError> {
        self.read(&format!("/organizations/{}", segment(id))).await
    }

    /// Changes an organization that has this revision.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn update_organization(
        &self,
        (id, revision): (&str, i64),
        update: &OrganizationUpdate,
    ) -> Result<Organization, ClientError> {
        let path = format!("/organizations/{}", segment(id));
        let revision = format!("\"{revision}\"");
        let headers = [("if-match", revision.as_str())];
        let sent = self.send_with(Method::PATCH, &path, Some(update), &headers);
        read(sent.await?).await
    }

    /// Opens, suspends or closes an organization.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn set_organization_status(
        &self,
        id: &str,
        update: &OrganizationStatusUpdate,
    ) -> Result<Organization, ClientError> {
        let path = format!("/organizations/{}/status", segment(id));
        read(self.send(Method::PUT, &path, Some(update), None).await?).await
    }

    /// Lets the session go on in another organization: the session, and the credential for further
    /// calls.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn switch_organization(
        &self,
        choice: &OrganizationChoice,
    ) -> Result<(SessionCreated, Credential), ClientError> {
        let path = "/sessions/current/organization";
        let response = self.send(Method::PUT, path, Some(choice), None).await?;
        session_made(response).await
    }

    /// Makes an organization the one in which the caller's sign-ins begin.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn set_primary_organization(
        &self,
        choice: &OrganizationChoice,
    ) -> Result<(), ClientError> {
        let path = "/users/me/primary-organization";
        self.send(Method::PUT, path, Some(choice), None).await?;
        Ok(())
    }

    /// Members of the active organization.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn list_members(&self, page: &PageQuery) -> Result<Page<Member>, ClientError> {
        self.list("/members", page).await
    }

    /// One member of the active organization.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn load_member(&self, id: &str) -> Result<Member, ClientError> {
        self.read(&format!("/members/{}", segment(id))).await
    }

    /// Makes a user a member of an organization.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn add_member(&self, request: &MemberCreate) -> Result<Member, ClientError> {
        let path = "/members";
        read(self.send(Method::POST, path, Some(request), None).await?).await
    }

    /// Suspends a member, or admits the member again.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn set_member_status(
        &self,
        id: &str,
        update: &MemberStatusUpdate,
    ) -> Result<Member, ClientError> {
        let path = format!("/members/{}/status", segment(id));
        read(self.send(Method::PUT, &path, Some(update), None).await?).await
    }

    /// Removes a member.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn remove_member(
        &self,
        id: &str,
        removal: &MemberRemoval,
    ) -> Result<(), ClientError> {
        let mut path = format!("/members/{}", segment(id));
        if let Some(successor) = removal.successor_user_id {
            path = format!("{path}?successor_user_id={successor}");
        }
        self.send(Method::DELETE, &path, NO_BODY, None).await?;
        Ok(())
    }

    /// Leaves the active organization.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn leave_organization(&self, leave: &MemberLeave) -> Result<(), ClientError> {
        let path = "/members/me/leave";
        self.send(Method::POST, path, Some(leave), None).await?;
        Ok(())
    }

    /// Invites somebody into the active organization.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn invite(
        &self,
        request: &InvitationCreate,
    ) -> Result<InvitationCreated, ClientError> {
        let path = "/invitations";
        read(self.send(Method::POST, path, Some(request), None).await?).await
    }

    /// Invitations of the active organization.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn list_invitations(
        &self,
        page: &PageQuery,
    ) -> Result<Page<Invitation>, ClientError> {
        self.list("/invitations", page).await
    }

    /// Takes an invitation back.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn revoke_invitation(&self, id: &str) -> Result<(), ClientError> {
        let path = format!("/invitations/{}", segment(id));
        self.send(Method::DELETE, &path, NO_BODY, None).await?;
        Ok(())
    }

    /// Becomes a member by an invitation.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn accept_invitation(
        &self,
        accept: &InvitationAccept,
    ) -> Result<InvitationAccepted, ClientError> {
        let path = "/invitations/accept";
        read(self.send(Method::POST, path, Some(accept), None).await?).await
    }
}
