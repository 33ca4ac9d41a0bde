// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

// The proxy of every contract here is OpenZeppelin's, compiled unchanged so that its code hash is the same
// for all of them and can be pinned.
import {ERC1967Proxy} from "@openzeppelin/contracts/proxy/ERC1967/ERC1967Proxy.sol";
