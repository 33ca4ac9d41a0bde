// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice What approvers sign for one version of a rule or method.
/// @param what 1 rule, 2 method
/// @param id ASCII, right-padded with zeros
/// @param version at least 1
/// @param digest SM3 of the canonical JSON document
/// @param dayFrom first city day of the window, days since 1970-01-01
/// @param dayTo day after the last one; 4294967295 = open
struct Enactment {
    uint8 what;
    bytes32 id;
    uint32 version;
    bytes32 digest;
    uint32 dayFrom;
    uint32 dayTo;
}

/// @title IRuleRegistry
/// @notice What other contracts and verifiers ask of the registry.
interface IRuleRegistry {
    /// @notice Digest and window `[dayFrom, dayTo)` of a version, in city days since 1970-01-01; zeros if unknown.
    function enacted(uint8 what, bytes32 id, uint32 version)
        external
        view
        returns (bytes32 digest, uint32 dayFrom, uint32 dayTo);
}
