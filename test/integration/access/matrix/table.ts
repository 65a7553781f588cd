/**
 * Who may ask what. All routes are about things of one project, made by its owner; who may not see a thing is told that
 * there is none (404), who sees it and may not do that with it is refused (403), who is not known gets 401.
 *
 *   nobody         no token, from loopback                 agent       the project's agent, with a token that its key signed
 *   stranger       an account without any role             foreign     an agent of another project, the same
 *   viewer … owner roles of the project                    revoked     an agent that was revoked, the same
 *   administrator  of the whole installation               expired … other_key   the owner's token, run out, unsigned,
 *                                                                      or signed with another key
 *
 * The viewer is a member of the owner's group. The credential is the owner's, shared with the viewer to read and with the
 * operator to write; the resources are shared with the submitter to write. `metrics` is open on loopback.
 */
import { CALLERS } from "./callers.ts";

const TABLE = `
route                    nobody stranger viewer submitter operator owner administrator agent foreign revoked expired alg_none other_key
submitExperiment         401    404      403    yes       yes      yes   yes           401   401     401     401     401      401
listExperiments          401    yes      yes    yes       yes      yes   yes           401   401     401     401     401      401
getExperiment            401    404      yes    yes       yes      yes   yes           401   401     401     401     401      401
listTasks                401    404      yes    yes       yes      yes   yes           401   401     401     401     401      401
cancelExperiment         401    404      403    403       yes      yes   yes           401   401     401     401     401      401
pauseExperiment          401    404      403    403       yes      yes   yes           401   401     401     401     401      401
resumeExperiment         401    404      403    403       yes      yes   yes           401   401     401     401     401      401
retryExperiment          401    404      403    403       yes      yes   yes           401   401     401     401     401      401
retireExperiment         401    404      403    403       yes      yes   yes           401   401     401     401     401      401
listExperimentShares     401    404      yes    yes       yes      yes   yes           401   401     401     401     401      401
shareExperiment          401    404      403    403       yes      yes   yes           401   401     401     401     401      401
unshareExperiment        401    404      403    403       yes      yes   yes           401   401     401     401     401      401
explainExperiment        401    404      yes    yes       yes      yes   yes           401   401     401     401     401      401
experimentTimeline       401    404      yes    yes       yes      yes   yes           401   401     401     401     401      401
listOutputs              401    404      yes    yes       yes      yes   yes           401   401     401     401     401      401
readOutput               401    404      yes    yes       yes      yes   yes           401   401     401     401     401      401
getTask                  401    404      yes    yes       yes      yes   yes           401   401     401     401     401      401
listAttempts             401    404      yes    yes       yes      yes   yes           401   401     401     401     401      401
readLog                  401    404      yes    yes       yes      yes   yes           401   401     401     401     401      401
explainTask              401    404      yes    yes       yes      yes   yes           401   401     401     401     401      401
cancelTask               401    404      403    403       yes      yes   yes           401   401     401     401     401      401
listProjects             401    yes      yes    yes       yes      yes   yes           401   401     401     401     401      401
createProject            401    403      403    403       403      403   yes           401   401     401     401     401      401
getProject               401    404      yes    yes       yes      yes   yes           401   401     401     401     401      401
changeProject            401    404      403    403       403      yes   yes           401   401     401     401     401      401
listProjectMembers       401    404      yes    yes       yes      yes   yes           401   401     401     401     401      401
setProjectMember         401    404      403    403       403      yes   yes           401   401     401     401     401      401
removeProjectMember      401    404      403    403       403      yes   yes           401   401     401     401     401      401
listGroups               401    yes      yes    yes       yes      yes   yes           401   401     401     401     401      401
createGroup              401    yes      yes    yes       yes      yes   yes           401   401     401     401     401      401
getGroup                 401    404      yes    404       404      yes   yes           401   401     401     401     401      401
changeGroup              401    404      403    404       404      yes   yes           401   401     401     401     401      401
deleteGroup              401    404      403    404       404      yes   yes           401   401     401     401     401      401
listGroupMembers         401    404      yes    404       404      yes   yes           401   401     401     401     401      401
addGroupMember           401    404      403    404       404      yes   yes           401   401     401     401     401      401
removeGroupMember        401    404      403    404       404      yes   yes           401   401     401     401     401      401
listComputeResources     401    yes      yes    yes       yes      yes   yes           401   401     401     401     401      401
createComputeResource    401    404      403    403       yes      yes   yes           401   401     401     401     401      401
getComputeResource       401    404      yes    yes       yes      yes   yes           401   401     401     401     401      401
changeComputeResource    401    404      403    yes       403      yes   yes           401   401     401     401     401      401
deleteComputeResource    401    404      403    403       403      yes   yes           401   401     401     401     401      401
listComputeShares        401    404      yes    yes       yes      yes   yes           401   401     401     401     401      401
shareComputeResource     401    404      403    403       403      yes   yes           401   401     401     401     401      401
unshareComputeResource   401    404      403    403       403      yes   yes           401   401     401     401     401      401
listStorageResources     401    yes      yes    yes       yes      yes   yes           401   401     401     401     401      401
createStorageResource    401    404      403    403       yes      yes   yes           401   401     401     401     401      401
getStorageResource       401    404      yes    yes       yes      yes   yes           401   401     401     401     401      401
changeStorageResource    401    404      403    yes       403      yes   yes           401   401     401     401     401      401
deleteStorageResource    401    404      403    403       403      yes   yes           401   401     401     401     401      401
listStorageShares        401    404      yes    yes       yes      yes   yes           401   401     401     401     401      401
shareStorageResource     401    404      403    403       403      yes   yes           401   401     401     401     401      401
unshareStorageResource   401    404      403    403       403      yes   yes           401   401     401     401     401      401
listAgents               401    yes      yes    yes       yes      yes   yes           401   401     401     401     401      401
getAgent                 401    404      yes    yes       yes      yes   yes           401   401     401     401     401      401
getAgentMetrics          401    404      yes    yes       yes      yes   yes           401   401     401     401     401      401
drainAgent               401    404      403    403       yes      yes   yes           401   401     401     401     401      401
revokeAgent              401    404      403    403       yes      yes   yes           401   401     401     401     401      401
rotateAgentKey           yes    yes      yes    yes       yes      yes   yes           yes   yes     yes     yes     yes      yes
createEnrolmentToken     401    404      403    403       yes      yes   yes           401   401     401     401     401      401
listEnrolmentTokens      401    yes      yes    yes       yes      yes   yes           401   401     401     401     401      401
getEnrolmentToken        401    404      404    404       yes      yes   yes           401   401     401     401     401      401
revokeEnrolmentToken     401    404      404    404       yes      yes   yes           401   401     401     401     401      401
enrolAgent               yes    yes      yes    yes       yes      yes   yes           yes   yes     yes     yes     yes      yes
agentSession             401    401      401    401       401      401   401           yes   yes     401     401     401      401
setUpdatePolicy          401    404      403    403       yes      yes   yes           401   401     401     401     401      401
listReleases             401    403      403    403       403      403   yes           401   401     401     401     401      401
beginRollout             401    403      403    403       403      403   yes           401   401     401     401     401      401
listRollouts             401    403      403    403       403      403   yes           401   401     401     401     401      401
getRollout               401    403      403    403       403      403   yes           401   401     401     401     401      401
stopRollout              401    403      403    403       403      403   yes           401   401     401     401     401      401
downloadAgent            yes    yes      yes    yes       yes      yes   yes           yes   yes     yes     yes     yes      yes
downloadAgentSum         yes    yes      yes    yes       yes      yes   yes           yes   yes     yes     yes     yes      yes
listAudit                401    yes      yes    yes       yes      yes   yes           401   401     401     401     401      401
exportAudit              401    yes      yes    yes       yes      yes   yes           401   401     401     401     401      401
auditHead                401    403      403    403       403      403   yes           401   401     401     401     401      401
listAuditSeals           401    403      403    403       403      403   yes           401   401     401     401     401      401
checkAudit               401    403      403    403       403      403   yes           401   401     401     401     401      401
getAuditEntry            401    404      404    404       404      yes   yes           401   401     401     401     401      401
createCredential         401    yes      yes    yes       yes      yes   yes           401   401     401     401     401      401
listCredentials          401    yes      yes    yes       yes      yes   yes           401   401     401     401     401      401
getCredential            401    404      yes    404       yes      yes   yes           401   401     401     401     401      401
changeCredential         401    404      403    404       yes      yes   yes           401   401     401     401     401      401
deleteCredential         401    404      403    404       403      yes   yes           401   401     401     401     401      401
rotateCredential         401    404      403    404       yes      yes   yes           401   401     401     401     401      401
testCredential           401    404      yes    404       yes      yes   yes           401   401     401     401     401      401
listCredentialShares     401    404      yes    404       yes      yes   yes           401   401     401     401     401      401
shareCredential          401    404      403    404       403      yes   yes           401   401     401     401     401      401
unshareCredential        401    404      403    404       403      yes   yes           401   401     401     401     401      401
listCredentialBindings   401    404      yes    404       yes      yes   yes           401   401     401     401     401      401
bindCredential           401    404      403    404       403      yes   yes           401   401     401     401     401      401
unbindCredential         401    404      403    yes       403      yes   yes           401   401     401     401     401      401
credentialUsage          401    404      yes    404       yes      yes   yes           401   401     401     401     401      401
getVault                 401    403      403    403       403      403   yes           401   401     401     401     401      401
rotateVaultKey           401    403      403    403       403      403   yes           401   401     401     401     401      401
logIn                    yes    yes      yes    yes       yes      yes   yes           yes   yes     yes     yes     yes      yes
refreshLogin             yes    yes      yes    yes       yes      yes   yes           yes   yes     yes     yes     yes      yes
logOut                   401    yes      yes    yes       yes      yes   yes           401   401     401     401     401      401
changePassword           401    yes      yes    yes       yes      yes   yes           401   401     401     401     401      401
listSessions             401    yes      yes    yes       yes      yes   yes           401   401     401     401     401      401
revokeSession            401    yes      yes    yes       yes      yes   yes           401   401     401     401     401      401
createToken              401    yes      yes    yes       yes      yes   yes           401   401     401     401     401      401
listTokens               401    yes      yes    yes       yes      yes   yes           401   401     401     401     401      401
revokeToken              401    yes      yes    yes       yes      yes   yes           401   401     401     401     401      401
currentUser              401    yes      yes    yes       yes      yes   yes           401   401     401     401     401      401
listUsers                401    403      403    403       403      403   yes           401   401     401     401     401      401
createUser               401    403      403    403       403      403   yes           401   401     401     401     401      401
getUser                  401    403      403    403       403      403   yes           401   401     401     401     401      401
changeUser               401    403      403    403       403      403   yes           401   401     401     401     401      401
disableUser              401    403      403    403       403      403   yes           401   401     401     401     401      401
enableUser               401    403      403    403       403      403   yes           401   401     401     401     401      401
resetPassword            401    403      403    403       403      403   yes           401   401     401     401     401      401
events                   401    yes      yes    yes       yes      yes   yes           401   401     401     401     401      401
createEventsTicket       401    yes      yes    yes       yes      yes   yes           401   401     401     401     401      401
health                   yes    yes      yes    yes       yes      yes   yes           yes   yes     yes     yes     yes      yes
healthDatabase           yes    yes      yes    yes       yes      yes   yes           yes   yes     yes     yes     yes      yes
healthReady              yes    yes      yes    yes       yes      yes   yes           yes   yes     yes     yes     yes      yes
openapi                  401    yes      yes    yes       yes      yes   yes           401   401     401     401     401      401
metrics                  yes    403      403    403       403      403   yes           401   401     401     401     401      401
index                    yes    yes      yes    yes       yes      yes   yes           yes   yes     yes     yes     yes      yes
oidcLogin                yes    yes      yes    yes       yes      yes   yes           yes   yes     yes     yes     yes      yes
oidcCallback             yes    yes      yes    yes       yes      yes   yes           yes   yes     yes     yes     yes      yes
oidcToken                yes    yes      yes    yes       yes      yes   yes           yes   yes     yes     yes     yes      yes
oidcDevice               yes    yes      yes    yes       yes      yes   yes           yes   yes     yes     yes     yes      yes
oidcDevicePoll           yes    yes      yes    yes       yes      yes   yes           yes   yes     yes     yes     yes      yes
`;

export const EXPECTED: ReadonlyMap<string, readonly string[]> = new Map(
  TABLE.trim()
    .split("\n")
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter((words) => words.length === CALLERS.length + 1)
    .map(([id = "", ...words]) => [id, words]),
);
