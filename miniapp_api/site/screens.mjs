// Every screen by the first part of its address. A screen has a title, `draw`, and tells which tab it
// belongs to; `open` ones need no sign-in, `bare` ones have no bars.

import { activitiesScreen, activityScreen } from "./screens/activities.mjs";
import { appealScreen, appealsScreen, newAppealScreen } from "./screens/appeals.mjs";
import { consentsScreen, giveConsentScreen, newConsentScreen } from "./screens/consents.mjs";
import { signInScreen } from "./screens/entry.mjs";
import {
  accountsScreen, devicesScreen, eraseScreen, erasedScreen, exportScreen, meScreen,
} from "./screens/me.mjs";
import { accessesScreen, noticesScreen, settingsScreen } from "./screens/notices.mjs";
import { parkingScreen } from "./screens/parking.mjs";
import {
  receiptScreen, redemptionReceiptScreen, shareScreen, sharesScreen,
} from "./screens/receipts.mjs";
import { reportScreen } from "./screens/report.mjs";
import { redemptionScreen, redemptionsScreen, rewardsScreen } from "./screens/rewards.mjs";
import { homeScreen, movementsScreen } from "./screens/wallet.mjs";

/** A screen whose address goes on: what the next part names, else `other` if there is one. */
const parted = (screen, named, other = screen) => ({
  ...screen,
  draw: (at) => (named[at.parts[0]] ?? (at.parts.length > 0 ? other : screen)).draw(at),
});

export const SCREENS = {
  "": homeScreen,
  "sign-in": signInScreen,
  movements: movementsScreen,
  report: reportScreen,
  activities: activitiesScreen,
  activity: activityScreen,
  receipt: receiptScreen,
  share: shareScreen,
  shares: sharesScreen,
  rewards: rewardsScreen,
  redemptions: redemptionsScreen,
  redemption: redemptionScreen,
  "redemption-receipt": redemptionReceiptScreen,
  consents: parted(consentsScreen, { new: newConsentScreen, give: giveConsentScreen }),
  appeals: parted(appealsScreen, { new: newAppealScreen }, appealScreen),
  parking: parkingScreen,
  notices: noticesScreen,
  settings: settingsScreen,
  accesses: accessesScreen,
  me: meScreen,
  accounts: accountsScreen,
  devices: devicesScreen,
  export: exportScreen,
  erase: eraseScreen,
  erased: erasedScreen,
};
