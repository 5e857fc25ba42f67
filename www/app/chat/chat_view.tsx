// SPDX-License-Identifier: Apache-2.0
export function ChatView({ id }: { id: string | null }) {
  return <div class="chat">{id}</div>;
}
