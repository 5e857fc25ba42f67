// SPDX-License-Identifier: Apache-2.0
#include "backends/vulkan/window.h"

#include <algorithm>
#include <new>

namespace lamina::vulkan {

Result<std::unique_ptr<Window>> Window::create(const Device& device, Uploader& uploader,
                                               const Weights& weights) {
  std::unique_ptr<Window> w(new (std::nothrow) Window(uploader, weights));
  if (!w) return make_error(Code::kOutOfMemory, "Vulkan's window of layers");
  LAMINA_ASSIGN(w->used_, Timeline::create(device));
  w->slots_.resize(weights.slots().size());
  return w;
}

Result<void> Window::bring(size_t layer) {
  const size_t at = layer % slots_.size();
  Slot& slot = slots_[at];
  if (slot.layer == layer) return {};
  slot.layer = SIZE_MAX;
  LAMINA_ASSIGN(slot.arrived, uploader_.send(weights_.swapped()[layer].sources, weights_.slots()[at], 0,
                                             {used_.handle(), slot.used}));
  slot.layer = layer;
  return {};
}

Result<Window::Turn> Window::take(size_t layer) {
  LAMINA_TRY(bring(layer));
  Slot& slot = slots_[layer % slots_.size()];
  slot.used = ++uses_;
  return Turn{slot.arrived, {used_.handle(), slot.used}};
}

Result<void> Window::prefetch() {
  for (size_t i = 0; i < std::min(slots_.size(), weights_.swapped().size()); ++i) LAMINA_TRY(bring(i));
  return {};
}

}  // namespace lamina::vulkan
